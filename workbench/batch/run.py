"""A plan carried out: shard by shard, then one stored run per probe."""

import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from workbench.batch.finish import finish
from workbench.batch.folder import batch_folder, begin, locked
from workbench.batch.pace import Pacer
from workbench.batch.plan import BatchPlan
from workbench.batch.rows import RowCount, count_rows, shards_of
from workbench.batch.session import Reporter, Session
from workbench.batch.shards import Manifest, commit, shard_path
from workbench.errors import DataError
from workbench.model.model import Model
from workbench.runs.run import Run
from workbench.runs.store import Store


@runtime_checkable
class Executor(Protocol):
    """Where shards are computed; each is committed by whoever computes it."""

    def compute(self, session: Session, missing: Sequence[int]) -> Iterator[Manifest]:
        """Compute and commit these shards, yielding each manifest when it is in its place."""


@dataclass(frozen=True, kw_only=True)
class Local:
    """One shard after the other in this process.

    A budget lowered by an out-of-memory stays lowered for the shards after it, so that a resumed
    batch makes the same batches as one that was never stopped. `ahead` counts a shard while the
    one before it is written, which takes the memory of two; by default where the model is on an
    accelerator.
    """

    ahead: bool | None = None

    def compute(self, session: Session, missing: Sequence[int]) -> Iterator[Manifest]:
        """Compute and commit the shards in order."""
        plan = session.plan
        budgets = {m.shard: m.batch_tokens for m in session.manifests.values()}
        with ThreadPoolExecutor(max_workers=1) as writer:
            written: Future[Manifest] | None = None
            for number, rows in shards_of(plan.data, plan.shard_rows, missing):
                budget = budgets.get(number - 1, plan.specs[0].batch_tokens)
                count = session.work.count(number, rows, budget)
                budgets[number] = count.budget
                if written is not None:
                    yield written.result()
                written = writer.submit(commit, session.folder, number, count.write)
                del count  # what it holds may go as soon as it is written
                if not self._is_ahead(session):
                    yield written.result()
                    written = None
            if written is not None:
                yield written.result()

    def _is_ahead(self, session: Session) -> bool:
        if self.ahead is None:
            return session.work.model.device.type != "cpu"
        return self.ahead


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchDone:
    """What a batch came to; `damaged` names the files found broken and made anew."""

    folder: Path
    runs: tuple[Run, ...]
    damaged: tuple[str, ...]
    manifests: tuple[Manifest, ...]
    n_computed: int
    seconds: float

    @property
    def n_bad(self) -> int:
        """The number of rows that could not be used."""
        return sum(m.n_bad for m in self.manifests)

    def as_dict(self) -> dict[str, Any]:
        """Return the plain values that `--json` prints."""
        return {
            "folder": str(self.folder),
            "runs": [
                {
                    "run_id": run.run_id,
                    "status": run.status,
                    "summary": run.result.summary if run.result else "",
                    "failure": run.failure.message if run.failure else None,
                }
                for run in self.runs
            ],
            "damaged": list(self.damaged),
            "shards": len(self.manifests),
            "shards_computed": self.n_computed,
            "rows": sum(m.n_good for m in self.manifests),
            "bad_rows": self.n_bad,
            "tokens": sum(m.n_tokens for m in self.manifests),
            "seconds": round(self.seconds, 3),
        }


def run_batch(
    plan: BatchPlan,
    *,
    store: Store,
    resume: bool = False,
    model: Model | None = None,
    executor: Executor | None = None,
    reporter: Reporter | None = None,
) -> BatchDone:
    """Carry a plan out and keep one run per probe in the store.

    Killed at any moment, it goes on with `resume`, and what comes out is the same to the byte.
    `resume` also checks every file of the folder and makes damaged ones anew.

    Raises:
        WorkbenchError: input that cannot run, a folder in use, or a disk that is full; every
            shard finished before is kept.
        KeyboardInterrupt: passed on; every finished shard is kept.
    """
    clock, started = time.perf_counter(), datetime.now(UTC)
    plan = plan.pinned()
    folder = batch_folder(store, plan.name)
    count = count_rows(plan.data)
    session = Session(
        plan=plan, folder=folder, store=store, reporter=reporter or Reporter(), model=model
    )
    with locked(folder):
        for line in begin(folder, plan, resume=resume):
            session.tell_damage(line)
        session.check(count.n_shards(plan.shard_rows))
        n_computed = _compute(session, count, executor or Local())
        runs = finish(session, started)
    return BatchDone(
        folder=folder,
        runs=runs,
        damaged=tuple(session.damaged),
        manifests=tuple(session.manifests[i] for i in sorted(session.manifests)),
        n_computed=n_computed,
        seconds=time.perf_counter() - clock,
    )


def _compute(session: Session, count: RowCount, executor: Executor) -> int:
    n_shards = count.n_shards(session.plan.shard_rows)
    pacer = Pacer(n_shards=n_shards, n_rows=count.n_rows, told=session.reporter.pace)
    for manifest in session.manifests.values():
        pacer.found(manifest)
    missing = [n for n in range(n_shards) if n not in session.manifests]
    if not missing:
        return 0
    session.reporter.progress(pacer.rows, count.n_rows, "rows")
    try:
        for manifest in executor.compute(session, missing):
            session.manifests[manifest.shard] = manifest
            pacer.computed(manifest)
            session.reporter.progress(pacer.rows, count.n_rows, "rows")
    except KeyboardInterrupt as stop:
        stop.add_note(f"{pacer.shards} of {n_shards} shards are kept; --resume goes on")
        raise
    _check_unchanged(session, missing)
    return len(missing)


def _check_unchanged(session: Session, computed: list[int]) -> None:
    spec = session.plan.specs[0]
    now = spec.pinned()
    if now.data == spec.data and now.model == spec.model:
        return
    changed = spec.data.path if now.data != spec.data else session.plan.model.name
    for number in computed:
        shutil.rmtree(shard_path(session.folder, number), ignore_errors=True)
    raise DataError(
        f"{changed} was changed while it was read; the shards made of it are removed",
        hint="run the plan again under another name",
    )
