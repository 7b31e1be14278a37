"""One shard's work: rows in, the tallies of every probe out."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from workbench.batch.forward import Limits, Passes
from workbench.batch.keeping import Keeper
from workbench.batch.plan import BatchPlan
from workbench.batch.rows import Row
from workbench.batch.shards import Manifest, commit
from workbench.errors import ModelError
from workbench.methods.contracts import Context, Example, Tally
from workbench.model.model import Model
from workbench.model.sites import Site
from workbench.runs.counting import start
from workbench.runs.folder import save_arrays
from workbench.runs.reading import BadRow

BAD_ROWS = "bad_rows.jsonl"

_NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")


class ShardWork:
    """A plan and a model, ready to turn any of its shards' rows into a committed shard."""

    def __init__(self, plan: BatchPlan, model: Model) -> None:
        """Resolve every site once.

        Raises:
            BadSite: a site does not exist in this model.
            BadOption: a probe's options do not fit this model.
        """
        self.plan, self.model = plan, model
        self.recipes = [recipe for _, recipe in plan.recipes()]
        self.reads = [model.sites(recipe.sites(model.spec)) for recipe in self.recipes]
        self.kept = model.sites(plan.keep.sites)
        every = (site for sites in (*self.reads, self.kept) for site in sites)
        self.sites: tuple[Site, ...] = tuple(dict.fromkeys(every))

    @property
    def identity(self) -> str:
        """What the numbers depend on beside the plan: weights, number format and kernels."""
        spec = self.model.spec
        return f"{spec.weights_hash} {spec.backend} {spec.dtype} {spec.attention}"

    def context(self) -> Context:
        """Return what the tallies of one shard are given."""
        spec, model = self.plan.specs[0], self.model
        return Context(
            spec=model.spec,
            unembed=model.unembed,
            decode=model.decode,
            seed=spec.seed,
            resamples=spec.resamples,
        )

    def commit(self, folder: Path, number: int, rows: Sequence[Row], batch_tokens: int) -> Manifest:
        """Compute a shard and put it in its place; memory that runs out halves the batch.

        Raises:
            ModelError: one text alone does not fit the memory.
            WorkbenchError: a probe refused the data, or the disk the shard.
        """
        while True:
            try:
                return self._commit(folder, number, rows, batch_tokens)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if batch_tokens <= 1:
                    raise ModelError(
                        f"shard {number}: one text alone does not fit the memory",
                        hint="lower max_tokens, or choose another device",
                    ) from error
            batch_tokens //= 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _commit(self, folder: Path, number: int, rows: Sequence[Row], budget: int) -> Manifest:
        plan = self.plan
        limits = Limits(max_tokens=plan.specs[0].max_tokens, batch_tokens=budget)
        passes = Passes(self.model, self.sites, limits)
        first = number * plan.shard_rows
        numbers = {id(row): first + i for i, row in enumerate(rows)}
        keeper = Keeper(self.kept, plan.keep.dtype, numbers)
        tallies = [start(recipe, self.context()) for recipe in self.recipes]
        self._count(passes, rows, tallies, keeper)
        bad = [row for row in rows if isinstance(row, BadRow)] + passes.bad

        def write(draft: Path) -> Manifest:
            if passes.n_good:
                for key, tally in zip(plan.keys(), tallies, strict=True):
                    save_arrays(draft / f"{key}.safetensors", tally.arrays())
            keeper.write(draft)
            (draft / BAD_ROWS).write_bytes(b"".join(_line(row) for row in bad))
            return Manifest(
                plan=plan.hash,
                model=self.identity,
                shard=number,
                n_rows=len(rows),
                n_good=passes.n_good,
                n_bad=len(bad),
                n_cut=passes.n_cut,
                n_tokens=passes.n_tokens,
                batch_tokens=budget,
            )

        return commit(folder, number, write)

    def _count(
        self, passes: Passes, rows: Sequence[Row], tallies: Sequence[Tally], keeper: Keeper
    ) -> None:
        good = [row for row in rows if isinstance(row, Example)]
        for trace, examples in passes.traces(good) if good else ():
            for tally, sites in zip(tallies, self.reads, strict=True):
                own = {site: trace.activations[site] for site in sites}
                tally.add(replace(trace, activations=own), examples)
            keeper.add(trace, examples)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device's or the machine's memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error).lower() for words in _NO_MEMORY)


def read_bad_rows(path: Path) -> list[BadRow]:
    """Return the rows of one shard that could not be used."""
    return [BadRow(**json.loads(line)) for line in path.read_bytes().splitlines()]


def _line(row: BadRow) -> bytes:
    values: dict[str, Any] = {"source": row.source, "reason": row.reason}
    text = json.dumps(values)
    return f"{text}\n".encode()
