"""What a batch costs, beside bare loops over the same rows in the same run."""

import tempfile
import time
from collections.abc import Iterator, Sequence
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
batch_tokens = 512
[data]
path = "shipped:prompts.jsonl"
[[probes]]
name = "isotropy"
[[probes]]
name = "logit-lens"
options = { positions = "last", control_every = 16 }
"""

Blocks = Sequence[Sequence[Example]]


@dataclass(frozen=True, kw_only=True)
class BatchBench:
    """How many rows are compared, in how many blocks; every block is one shard.

    Writing a shard costs the same for few rows as for many, so blocks smaller than the shards
    of the plan make a batch look slower than it is. `memory_rows` are the two numbers of rows
    between which memory must not grow; none are measured when both are 0, and nothing is claimed
    where even a batch that kept every activation would not grow by a tenth.
    """

    plan: BatchPlan
    rows: int = 96
    blocks: int = 1
    memory_rows: tuple[int, int] = (500, 2000)


@dataclass(kw_only=True)
class Timing:
    """Seconds of one way, by the processor and by the wall, and its rows and padded tokens."""

    cpu: float = 0.0
    wall: float = 0.0
    rows: int = 0
    places: int = 0


def bench_batch(
    bench: BatchBench, *, model: Model | None = None, progress: Progress = silent
) -> dict[str, Any]:
    """Time a plan against two bare loops over the same rows, pass by pass in turn.

    `sorted_loop` runs the plain transformers model over each block in batches of similar length
    under the same token budget, `fixed_loop` over batches of 32 in the order of the file, padded
    to their longest; both compute logits, as that model does, and keep nothing. The way that is
    furthest behind goes next, so that a change of load meets all three. Seconds are processor
    time on a CPU and wall time elsewhere. All ways tokenise; the batch writes its shards. The
    results of the probes, which are computed once at the end, are not counted.

    Raises:
        TooLittleData: the file holds too few rows.
    """
    plan = bench.plan.pinned()
    work = ShardWork(plan, model or shared_model(plan.model, progress))
    rows = sample(plan.data, bench.rows)
    if len(rows) < bench.blocks:
        raise TooLittleData(f"the file holds {len(rows)} good rows; expected {bench.blocks}")
    size = -(-len(rows) // bench.blocks)
    blocks = [rows[first : first + size] for first in range(0, len(rows), size)]
    with tempfile.TemporaryDirectory() as folder:
        taken = _race(work, blocks, Path(folder), progress)
    found = _facts(work, bench, blocks) | _told(taken)
    bars = _speed_bars(taken, work.model.device.type)
    if any(bench.memory_rows):
        memory, bar = _memory(work, bench.memory_rows)
        found |= memory
        bars += [bar] if memory["memory_can_fail"] else []
    found["bars"] = [{**vars(bar), "passed": bar.passed} for bar in bars]
    return found | {"environment": environment()}


def _memory(work: ShardWork, sizes: tuple[int, int]) -> tuple[dict[str, Any], Bar]:
    """Compare the peaks of two sizes, beside what keeping every activation read would add.

    Where that control stays below the limit the comparison could not fail and claims nothing.
    """
    few, many = sizes
    peaks = [peak_of_batch(replace(work.plan, name="bench"), n) for n in sizes]
    more = sample(work.plan.data, many)[few:]
    width = sum(site.positions is None for site in work.sites) * work.model.spec.d_model
    n_bytes = torch.finfo(getattr(torch, work.model.spec.dtype)).bits // 8
    kept = sum(map(len, _ids(work.model, more))) * width * n_bytes / 1e6 if more else 0.0
    found = {f"peak_mb_{n}": peak for n, peak in zip(sizes, peaks, strict=True)}
    found |= {"growth_mb_if_all_were_kept": round(kept, 1), "memory_can_fail": kept > peaks[0] / 10}
    claim = f"peak memory, {many} over {few} rows"
    return found, Bar(claim=claim, value=peaks[1] / peaks[0], limit=1.1)


def _facts(work: ShardWork, bench: BatchBench, blocks: Blocks) -> dict[str, Any]:
    spec = work.model.spec
    return {
        "model": spec.name,
        "device": spec.device,
        "dtype": spec.dtype,
        "attention": spec.attention,
        "threads": torch.get_num_threads(),
        "probes": [s.name for s in work.plan.specs],
        "rows": sum(map(len, blocks)),
        "tokens": sum(len(ids) for block in blocks for ids in _ids(work.model, block)),
        "blocks": len(blocks),
        "rows_of_a_block": len(blocks[0]),
        "batch_tokens": work.plan.specs[0].batch_tokens,
        "fixed_rows": FIXED_ROWS,
    }


def _told(taken: dict[str, Timing]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for way, one in taken.items():
        found[f"{way}_cpu_seconds"] = round(one.cpu, 3)
        found[f"{way}_wall_seconds"] = round(one.wall, 3)
        if one.places:
            found[f"{way}_padded_tokens"] = one.places
    return found


def _speed_bars(taken: dict[str, Timing], device: str) -> list[Bar]:
    clock = "cpu" if device == "cpu" else "wall"
    ours, similar, fixed = (
        getattr(taken[way], clock) for way in ("batch", "sorted_loop", "fixed_loop")
    )
    return [
        Bar(claim="time over the sorted loop", value=ours / similar, limit=1 / 0.9),
        Bar(claim="time over the fixed loop", value=ours / fixed, limit=0.5),
    ]


def _race(work: ShardWork, blocks: Blocks, folder: Path, progress: Progress) -> dict[str, Timing]:
    """Let the three ways take turns; the one that has done the least goes next."""
    n_rows = sum(map(len, blocks))
    # The first pass of a process is slower than any other.
    for _ in _fixed_loop(work.model, [blocks[0][:2]]):
        pass
    running = {
        "batch": _batch(work, blocks, folder),
        "sorted_loop": _sorted_loop(work.model, blocks, work.plan.specs[0].batch_tokens),
        "fixed_loop": _fixed_loop(work.model, blocks),
    }
    taken = {way: Timing() for way in running}
    while running:
        way = min(running, key=lambda name: taken[name].rows)
        cpu, wall = time.process_time(), _wall()
        step = next(running[way], None)
        one = taken[way]
        one.wall += _wall() - wall
        one.cpu += time.process_time() - cpu
        if step is None:
            del running[way]
        else:
            one.rows, one.places = one.rows + step[0], one.places + step[1]
        progress(min(one.rows for one in taken.values()), n_rows, "rows")
    return taken


def _batch(work: ShardWork, blocks: Blocks, folder: Path) -> Iterator[tuple[int, int]]:
    for number, block in enumerate(blocks):
        count = ShardCount(work, number, work.plan.specs[0].batch_tokens)
        for n_rows in count.steps(block):
            yield n_rows, 0
        commit(folder, number, count.write)


def _sorted_loop(model: Model, blocks: Blocks, budget: int) -> Iterator[tuple[int, int]]:
    for block in blocks:
        ids = _ids(model, block)
        for group in group_by_length([len(row) for row in ids], budget):
            yield len(group), _forward(model, pad([ids[i] for i in group]))


def _fixed_loop(model: Model, blocks: Blocks) -> Iterator[tuple[int, int]]:
    ids = [row for block in blocks for row in _ids(model, block)]
    for first in range(0, len(ids), FIXED_ROWS):
        some = ids[first : first + FIXED_ROWS]
        yield len(some), _forward(model, pad(some))


def _ids(model: Model, rows: Sequence[Example]) -> list[list[int]]:
    encoded = model.tokenizer([row.text for row in rows])["input_ids"]
    return [list(ids) for ids in encoded if len(ids)]


def _forward(model: Model, tokens: Tokens) -> int:
    """Run once and return the number of tokens, padding included."""
    module: Any = model.backend.module
    given = tokens.to(model.device)
    with torch.no_grad():
        module(input_ids=given.ids, attention_mask=given.mask.long(), use_cache=False)
    return given.ids.numel()


def _wall() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
