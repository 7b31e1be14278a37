"""What a batch costs, beside bare loops over the same rows in the same run."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from workbench.batch.peak import peak_of_batch
from workbench.batch.plan import BatchPlan
from workbench.batch.rows import sample
from workbench.batch.shards import commit
from workbench.batch.work import ShardCount, ShardWork
from workbench.errors import TooLittleData
from workbench.methods.contracts import Example
from workbench.model.model import Model
from workbench.model.tokens import Tokens, pad
from workbench.progress import Progress, silent
from workbench.runs.batching import group_by_length
from workbench.runs.bench.hooks import Bar
from workbench.runs.models import shared_model
from workbench.runs.run import environment

FIXED_ROWS = 32

PLAN = """
name = "bench"
batch_tokens = 4096
[data]
path = "shipped:prompts.jsonl"
[[probes]]
name = "isotropy"
[[probes]]
name = "logit-lens"
options = { positions = "last" }
"""

Clock = Callable[[], float]
Loops = dict[str, Callable[[Sequence[Example]], object]]


@dataclass(frozen=True, kw_only=True)
class BatchBench:
    """How many rows are compared, in how many alternating blocks, and for which shard size.

    Writing a shard costs the same for few rows as for many; its share is that of a shard of the
    plan's size. `memory_rows` are the two numbers of rows between which memory must not grow.
    """

    plan: BatchPlan
    rows: int = 96
    blocks: int = 3
    memory_rows: tuple[int, int] = (500, 2000)


def bench_batch(
    bench: BatchBench, *, model: Model | None = None, progress: Progress = silent
) -> dict[str, Any]:
    """Time a plan against two bare loops over the same rows, block by block in turn.

    `sorted_loop` runs the plain transformers model over batches of similar length under the same
    token budget, `fixed_loop` over batches of 32 in the order of the file; both keep nothing.
    Seconds are processor time on a CPU and wall time elsewhere. All ways tokenise. The results
    of the probes, which are computed once at the end, are not counted.

    Raises:
        TooLittleData: the file holds too few rows.
    """
    plan = bench.plan.pinned()
    work = ShardWork(plan, model or shared_model(plan.model, progress))
    rows = sample(plan.data, bench.rows)
    if len(rows) < bench.blocks:
        raise TooLittleData(f"the file holds {len(rows)} good rows; expected {bench.blocks}")
    clock = time.process_time if work.model.device.type == "cpu" else _device_clock
    budget = plan.specs[0].batch_tokens
    count = ShardCount(work, 0, budget)
    run: Loops = {
        "batch": count.add,
        "sorted_loop": lambda block: _sorted_loop(work.model, block, budget),
        "fixed_loop": lambda block: _fixed_loop(work.model, block),
    }
    seconds = _alternate(run, rows, bench.blocks, clock, progress)
    start = clock()
    with tempfile.TemporaryDirectory() as folder:
        commit(Path(folder), 0, count.write)
    write = clock() - start
    seconds["batch"] += write * len(rows) / plan.shard_rows
    found = _facts(work, bench, len(rows), count.passes.n_tokens)
    found |= {f"{way}_seconds": round(value, 3) for way, value in seconds.items()}
    found["write_seconds_per_shard"] = round(write, 3)
    peaks = [peak_of_batch(replace(plan, name="bench"), n) for n in bench.memory_rows]
    found |= {f"peak_mb_{n}": peak for n, peak in zip(bench.memory_rows, peaks, strict=True)}
    bars = _bars(seconds, peaks, bench)
    found["bars"] = [{**vars(bar), "passed": bar.passed} for bar in bars]
    return found | {"environment": environment()}


def _facts(work: ShardWork, bench: BatchBench, n_rows: int, n_tokens: int) -> dict[str, Any]:
    spec = work.model.spec
    return {
        "model": spec.name,
        "device": spec.device,
        "dtype": spec.dtype,
        "attention": spec.attention,
        "probes": [s.name for s in work.plan.specs],
        "rows": n_rows,
        "tokens": n_tokens,
        "blocks": bench.blocks,
        "batch_tokens": work.plan.specs[0].batch_tokens,
        "shard_rows": work.plan.shard_rows,
    }


def _bars(seconds: dict[str, float], peaks: Sequence[float], bench: BatchBench) -> tuple[Bar, ...]:
    few, many = bench.memory_rows
    ours = seconds["batch"]
    return (
        Bar(claim="time over the sorted loop", value=ours / seconds["sorted_loop"], limit=1 / 0.9),
        Bar(claim="time over the fixed loop", value=ours / seconds["fixed_loop"], limit=0.5),
        Bar(claim=f"peak memory, {many} over {few} rows", value=peaks[1] / peaks[0], limit=1.1),
    )


def _alternate(
    run: Loops,
    rows: Sequence[Example],
    blocks: int,
    clock: Clock,
    progress: Progress,
) -> dict[str, float]:
    seconds = dict.fromkeys(run, 0.0)
    size = -(-len(rows) // blocks)
    run["fixed_loop"](rows[:2])  # the first pass of a process is slower than any other
    for number, first in enumerate(range(0, len(rows), size)):
        block = rows[first : first + size]
        names = list(run)
        for name in names[number % 3 :] + names[: number % 3]:
            start = clock()
            run[name](block)
            seconds[name] += clock() - start
        progress(min(first + size, len(rows)), len(rows), "rows")
    return seconds


def _sorted_loop(model: Model, rows: Sequence[Example], budget: int) -> None:
    ids = _ids(model, rows)
    for group in group_by_length([len(row) for row in ids], budget):
        _forward(model, pad([ids[i] for i in group]))


def _fixed_loop(model: Model, rows: Sequence[Example]) -> None:
    ids = _ids(model, rows)
    for first in range(0, len(ids), FIXED_ROWS):
        _forward(model, pad(ids[first : first + FIXED_ROWS]))


def _ids(model: Model, rows: Sequence[Example]) -> list[list[int]]:
    encoded = model.tokenizer([row.text for row in rows])["input_ids"]
    return [list(ids) for ids in encoded if len(ids)]


def _forward(model: Model, tokens: Tokens) -> None:
    module: Any = model.backend.module
    given = tokens.to(model.device)
    with torch.no_grad():
        module(input_ids=given.ids, attention_mask=given.mask.long(), use_cache=False)


def _device_clock() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
