"""What a plan will take, from a few of its rows: the dry run."""

import tempfile
import time
from pathlib import Path
from typing import Any

from workbench.batch.pace import peak_memory_mb
from workbench.batch.plan import BatchPlan
from workbench.batch.rows import Row, count_rows, sample
from workbench.batch.shards import Manifest, shard_path
from workbench.batch.work import ShardWork
from workbench.errors import TooLittleData
from workbench.model.model import Model
from workbench.progress import Progress, silent
from workbench.runs.models import shared_model

SAMPLE = 96


def forecast(
    plan: BatchPlan, *, model: Model | None = None, progress: Progress = silent
) -> dict[str, Any]:
    """Run the first rows in a temporary folder and scale up to all; nothing is kept.

    Rows are counted exactly; tokens, memory (MB), disk (MB) and time (s) are estimates from at
    most 96 rows. Statistics that fill up, such as a sample of tokens, are taken to grow on where
    those rows did not fill them: disk and memory are then too high. The time leaves out what the
    probes do with their totals at the end.

    Raises:
        WorkbenchError: what the plan itself would raise.
    """
    plan = plan.pinned()
    count = count_rows(plan.data)
    rows = sample(plan.data, SAMPLE) or [count.first]
    work = ShardWork(plan, model or shared_model(plan.model, progress))
    with tempfile.TemporaryDirectory() as folder:
        third = -(-len(rows) // 3)
        few, few_bytes, _ = _try(work, Path(folder), rows[:third])
        many, many_bytes, seconds = _try(work, Path(folder), rows[third:] or rows)
    if not many.n_good:
        raise TooLittleData("none of the first rows can be used", hint="see quarantine.jsonl")
    growth = max(0.0, (many_bytes - few_bytes) / max(1, many.n_good - few.n_good))
    fixed = max(0.0, many_bytes - growth * many.n_good)
    n_shards = count.n_shards(plan.shard_rows)
    tokens = count.n_good * many.n_tokens / many.n_good
    a_shard = (fixed + growth * plan.shard_rows) / 1e6
    return {
        "rows": count.n_rows,
        "good_rows": count.n_good,
        "bad_rows": count.n_rows - count.n_good,
        "shards": n_shards,
        "tokens": round(tokens),
        "tokens_per_second": round(many.n_tokens / seconds, 1),
        "seconds": round(tokens * seconds / many.n_tokens, 1),
        "disk_mb": round((n_shards * fixed + growth * count.n_good) / 1e6, 1),
        "memory_mb": round(peak_memory_mb() + 2 * a_shard, 1),
        "sampled_rows": many.n_good,
        "device": work.model.spec.device,
    }


def _try(work: ShardWork, folder: Path, rows: list[Any]) -> tuple[Manifest, int, float]:
    given: list[Row] = list(rows)
    clock = time.perf_counter()
    manifest = work.commit(folder, 0, given, work.plan.specs[0].batch_tokens)
    seconds = time.perf_counter() - clock
    size = sum(path.stat().st_size for path in shard_path(folder, 0).iterdir())
    return manifest, size, seconds
