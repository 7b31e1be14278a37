"""What a plan will take, from a few of its rows: the dry run."""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from workbench.batch.merging import Parts, joined
from workbench.batch.pace import peak_memory_mb
from workbench.batch.plan import BatchPlan
from workbench.batch.rows import RowCount, count_rows
from workbench.batch.shards import Manifest, commit, shard_path
from workbench.batch.work import ShardCount, ShardWork
from workbench.errors import TooLittleData, WorkbenchError
from workbench.methods.contracts import Example
from workbench.model.model import Model
from workbench.model.tokens import token_ids
from workbench.progress import Progress, silent
from workbench.runs.models import shared_model
from workbench.runs.reading import read_rows

T = TypeVar("T")

# Half of them fill the statistics of the probes at their default options.
SAMPLE_TOKENS = 5200
SAMPLE_ROWS = 1024

ASSUMES = (
    "the first rows are like the rest, in tokens per character and in what the probes do with "
    "them; one process, and a machine as busy as now; results whose time grows with the rows "
    "(intervals over texts, readouts) take longer than told"
)


@dataclass(frozen=True, kw_only=True)
class Pilot:
    """What some rows took: seconds by kind of work, and bytes of half of them and of all."""

    manifest: Manifest
    n_half: int
    half_bytes: int
    n_bytes: int
    count_seconds: float
    write_seconds: float
    join_seconds: float
    result_seconds: float

    @property
    def growth(self) -> float:
        """Bytes that one more row adds to a shard."""
        more = self.manifest.n_good - self.n_half
        return max(0.0, (self.n_bytes - self.half_bytes) / more) if more > 0 else 0.0


def forecast(
    plan: BatchPlan, *, model: Model | None = None, progress: Progress = silent
) -> dict[str, Any]:
    """Carry a plan out over its first rows in a temporary folder and scale up; nothing is kept.

    Rows are counted exactly. Tokens follow from the characters of all rows; memory (MB), disk
    (MB) and time (s) from about five thousand tokens that are counted, written, joined and read
    as the whole will be. `assumes` says what else they rest on.

    Raises:
        WorkbenchError: what the plan itself would raise.
    """
    plan = plan.pinned()
    count = count_rows(plan.data)
    work = ShardWork(plan, model or shared_model(plan.model, progress))
    rows = _sample(work)
    with tempfile.TemporaryDirectory() as folder:
        tried = _try(work, Path(folder), rows)
    n_shards = count.n_shards(plan.shard_rows)
    tokens = _tokens(count, tried.manifest, rows)
    growth = tried.growth
    fixed = max(0.0, tried.n_bytes - growth * tried.manifest.n_good)
    a_token = tried.count_seconds / tried.manifest.n_tokens
    counting = tokens * a_token + n_shards * tried.write_seconds
    ending = n_shards * tried.join_seconds + tried.result_seconds
    in_a_shard = min(plan.shard_rows, count.n_good)
    return {
        "rows": count.n_rows,
        "good_rows": count.n_good,
        "bad_rows": count.n_rows - count.n_good,
        "shards": n_shards,
        "tokens": round(tokens),
        "tokens_per_second": round(1 / a_token, 1),
        "seconds": round(counting + ending, 1),
        "seconds_of_results": round(ending, 1),
        "disk_mb": round((n_shards * fixed + growth * count.n_good) / 1e6, 1),
        "memory_mb": round(peak_memory_mb() + 2 * growth * in_a_shard / 1e6, 1),
        "sampled_rows": tried.manifest.n_good,
        "device": work.model.spec.device,
        "assumes": ASSUMES,
    }


def _sample(work: ShardWork) -> list[Example]:
    """Return the good ones of the first rows, two at least where there are two."""
    rows: list[Example] = []
    n_tokens = 0
    limit = work.plan.specs[0].max_tokens
    for row in read_rows(work.plan.data):
        if isinstance(row, Example):
            rows.append(row)
            n_tokens += min(limit, len(token_ids(work.model.tokenizer, row.text)))
        if len(rows) > 1 and (n_tokens >= SAMPLE_TOKENS or len(rows) >= SAMPLE_ROWS):
            break
    return rows


def _tokens(count: RowCount, manifest: Manifest, rows: Sequence[Example]) -> float:
    if manifest.n_cut:
        return count.n_good * manifest.n_tokens / manifest.n_good
    return count.n_characters * manifest.n_tokens / max(1, sum(len(row.text) for row in rows))


def _try(work: ShardWork, folder: Path, rows: list[Example]) -> Pilot:
    # Half of the rows go first: the first pass of a process is slower than any other.
    half = rows[: -(-len(rows) // 2)]
    budget = work.plan.specs[0].batch_tokens
    few = work.commit(folder, 0, half, budget)
    count = ShardCount(work, 1, budget)
    counting, _ = _timed(lambda: count.add(rows))
    first, _ = _timed(lambda: commit(folder, 1, count.write))
    # Accumulators put off some of their work until they are written; the second time none is left.
    writing, whole = _timed(lambda: commit(folder, 2, count.write))
    if not whole.n_good:
        raise TooLittleData("none of the first rows can be used", hint="see quarantine.jsonl")
    joining, reading = _end(work, folder, [replace(whole, shard=1), whole])
    return Pilot(
        manifest=whole,
        n_half=few.n_good,
        half_bytes=_size(folder, 0),
        n_bytes=_size(folder, 1),
        count_seconds=counting + max(0.0, first - writing),
        write_seconds=writing,
        join_seconds=joining,
        result_seconds=reading,
    )


def _end(work: ShardWork, folder: Path, shards: Sequence[Manifest]) -> tuple[float, float]:
    """Return the seconds of joining one more shard, and of the results, over all probes."""
    context, limit = work.context(), work.plan.specs[0].max_tokens
    joining = reading = 0.0
    for recipe, key in zip(work.recipes, work.plan.keys(), strict=True):
        parts = Parts.of(folder, key, shards, limit=limit)
        seconds, whole = _timed(partial(joined, recipe, parts, context))
        joining += seconds / len(shards)
        reading += _seconds(partial(whole.result, context))
    return joining, reading


def _seconds(do: Callable[[], object]) -> float:
    """Time work that a few rows may be too few for."""
    start = time.perf_counter()
    with suppress(WorkbenchError):
        do()
    return time.perf_counter() - start


def _timed(do: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    found = do()
    return time.perf_counter() - start, found


def _size(folder: Path, number: int) -> int:
    return sum(path.stat().st_size for path in shard_path(folder, number).iterdir())
