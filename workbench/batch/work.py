"""One shard's work: rows in, the states of every probe out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from workbench.batch.forward import Limits, Passes
from workbench.batch.keeping import ActivationWriter
from workbench.batch.plan import BatchPlan
from workbench.batch.rows import Row
from workbench.batch.shards import Manifest, commit
from workbench.errors import ModelError
from workbench.methods.contracts import Accumulator, Context, Example
from workbench.model.finite import FiniteWatch, watching
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
        known = (spec.weights_hash, spec.files_hash, spec.backend, spec.dtype, spec.attention)
        return " ".join(filter(None, known))

    def context(self) -> Context:
        """Return what the accumulators of one shard are given."""
        spec, model = self.plan.specs[0], self.model
        return Context.of(model, seed=spec.seed, resamples=spec.resamples)

    def commit(self, folder: Path, number: int, rows: Sequence[Row], batch_tokens: int) -> Manifest:
        """Compute a shard and put it in its place; memory that runs out halves the batch.

        Raises:
            ModelError: one text alone does not fit the memory.
            WorkbenchError: a probe refused the data, or the disk the shard.
        """
        return commit(folder, number, self.count(number, rows, batch_tokens).write)

    def count(self, number: int, rows: Sequence[Row], batch_tokens: int) -> "ShardCount":
        """Count a shard's rows, ready to be written; memory that runs out halves the batch.

        Raises:
            ModelError: one text alone does not fit the memory.
            WorkbenchError: a probe refused the data.
        """
        while True:
            try:
                return self._count(number, rows, batch_tokens)
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

    def _count(self, number: int, rows: Sequence[Row], budget: int) -> "ShardCount":
        count = ShardCount(self, number, budget)
        count.add(rows)
        count.close()
        return count


class ShardCount:
    """The rows of one shard as they are counted, and the files they become."""

    def __init__(self, work: ShardWork, number: int, batch_tokens: int) -> None:
        """Begin with nothing counted."""
        self.work, self.number, self.budget = work, number, batch_tokens
        limits = Limits(max_tokens=work.plan.specs[0].max_tokens, batch_tokens=batch_tokens)
        self.passes = Passes(work.model, work.sites, limits)
        self.keeper = ActivationWriter(work.kept, work.plan.keep.dtype)
        self.accumulators: list[Accumulator] = [
            start(recipe, work.context()) for recipe in work.recipes
        ]
        self.bad: list[BadRow] = []
        self._watch = FiniteWatch()
        self.n_rows = 0
        self._states: list[Mapping[str, NDArray[Any]]] = []

    def add(self, rows: Sequence[Row]) -> None:
        """Count the next rows of the shard.

        Raises:
            WorkbenchError: a probe refused the data.
        """
        for _ in self.steps(rows):
            pass

    def steps(self, rows: Sequence[Row]) -> Iterator[int]:
        """Count the next rows of the shard, yielding how many after every forward pass.

        Raises:
            WorkbenchError: a probe refused the data.
        """
        first = self.number * self.work.plan.shard_rows + self.n_rows
        self.keeper.number({id(row): first + i for i, row in enumerate(rows)})
        self.n_rows += len(rows)
        self.bad += [row for row in rows if isinstance(row, BadRow)]
        good = [row for row in rows if isinstance(row, Example)]
        for trace, examples in self.passes.traces(good) if good else ():
            # Rows whose activations are not finite are out already; the output head may overflow.
            with watching(self._watch):
                for accumulator, sites in zip(self.accumulators, self.work.reads, strict=True):
                    own = {site: trace.activations[site] for site in sites}
                    accumulator.add(replace(trace, activations=own), examples)
            self.keeper.add(trace, examples)
            yield len(examples)

    def close(self) -> None:
        """Take what was counted off the device; writing then needs the disk alone.

        Raises:
            NotFinite: the output head overflowed.
        """
        if self.passes.n_good and self.accumulators:
            with watching(self._watch) as watch:
                self._states = [accumulator.state() for accumulator in self.accumulators]
                watch.check()
        self.accumulators = []

    def write(self, folder: Path) -> Manifest:
        """Write what was counted into a new folder and describe it.

        Raises:
            OSError: the disk is full or not writable.
        """
        self.close()
        bad = [*self.bad, *self.passes.bad]
        if self._states:
            for key, arrays in zip(self.work.plan.keys(), self._states, strict=True):
                save_arrays(folder / f"{key}.safetensors", arrays)
        self.keeper.write(folder)
        (folder / BAD_ROWS).write_bytes(b"".join(_line(row) for row in bad))
        return Manifest(
            plan=self.work.plan.hash,
            model=self.work.identity,
            shard=self.number,
            n_rows=self.n_rows,
            n_good=self.passes.n_good,
            n_bad=len(bad),
            n_cut=self.passes.n_cut,
            n_tokens=self.passes.n_tokens,
            batch_tokens=self.budget,
        )


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
