"""What an accelerator is asked for by the host, counted on a pretend one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from workbench.batch.plan import BatchPlan
from workbench.batch.work import ShardCount, ShardWork
from workbench.methods.contracts import Example
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.tokens import Tokens, pad
from workbench.progress import Progress, silent
from workbench.runs.bench.cheap_model import cheap_model
from workbench.runs.bench.counting_device import counting, on_counting_device
from workbench.runs.bench.device_tensor import Counts
from workbench.runs.bench.hooks import Bar
from workbench.runs.models import shared_model
from workbench.runs.reading import read_rows
from workbench.runs.spec import SHIPPED_PROMPTS, DataRef, ModelRef, RunSpec
from workbench.sampling.branch import Branch
from workbench.sampling.rollout import RolloutOptions, RolloutQueue, Trajectory

CHEAP = "cheap"
"""The model that is built for the bench instead of being loaded."""

_ROWS, _STEPS = 8, (4, 12)  # of a generation: its rows, and the two lengths whose difference counts
_ALL, _LINES = 8, 12  # rows of the table, and lines of code that are named for each

Row = dict[str, Any]


def bench_host(
    name: str = CHEAP, *, texts: int = 40, layers: int = 30, progress: Progress = silent
) -> dict[str, Any]:
    """Count kernels, blocking syncs and copies to the device of what the host does most.

    One forward pass over `texts` texts is counted bare and under probes with their defaults, and
    one token step of eight rows bare, in rollouts and in greedy generation. `layers` is the depth
    of the model that is built; a model that is loaded has its own.

    Raises:
        ModelNotFound: no model of that name.
    """
    rows = bench_texts(texts)
    plain = _model(name, rows, layers, progress)
    model = on_counting_device(plain)
    found: list[Row] = []
    for row in _rows(model, rows):
        found.append(row)
        progress(len(found), _ALL, "rows of the table")
    return {
        "model": plain.spec.name,
        "layers": plain.spec.n_layers,
        "width": plain.spec.d_model,
        "vocabulary": plain.spec.d_vocab,
        "texts": len(rows),
        "rows": _ROWS,
        "host": [{k: v for k, v in row.items() if k != "lines"} for row in found],
        "lines": {row["work"]: row["lines"] for row in found},
        "bars": [{**vars(bar), "passed": bar.passed} for bar in _bars(found)],
    }


def bench_texts(n: int) -> list[Example]:
    """Return the first shipped prompts with labels and groups, as often as it takes."""
    every = [row for row in read_rows(DataRef(path=SHIPPED_PROMPTS)) if isinstance(row, Example)]
    return [
        replace(every[i % len(every)], label=str(i % 2), group=str(i), source=f"{i}", number=i)
        for i in range(n)
    ]


def count_pass(
    model: Model, probe: str, options: Mapping[str, Any], rows: Sequence[Example]
) -> tuple[Counts, Counts]:
    """Count one forward pass under a probe, and what its state takes; the model is on the device.

    A pass before it is not counted: what is made once is made there.
    """
    spec = RunSpec(
        kind="probe",
        name=probe,
        options=dict(options),
        model=ModelRef(name=model.spec.name),
        data=DataRef(path=SHIPPED_PROMPTS),
        batch_tokens=1 << 20,
    )
    work = ShardWork(BatchPlan(name="bench", specs=(spec,)), model)
    for _ in range(2):
        count = ShardCount(work, 0, spec.batch_tokens)
        with counting() as in_pass:
            count.add(rows)
        with counting() as in_state:
            count.close()
    return in_pass, in_state


def count_bare_pass(model: Model, rows: Sequence[Example]) -> Counts:
    """Count one forward pass of the plain transformers model, logits included."""
    ids = model.tokenizer([row.text for row in rows])["input_ids"]
    module: Any = model.backend.module
    with counting() as counts:
        given = pad(ids).to(model.device)
        module(input_ids=given.ids, attention_mask=given.mask.long(), use_cache=False)
    return counts


def count_rollouts(model: Model, rows: int, limit: int) -> Counts:
    """Count so many rows of sampled continuations, all of that length, behind one prefix."""
    prompt, response = list(range(3, 19)), list(range(20, 36))
    with counting() as counts:
        trajectory = Trajectory(model, prompt, response, RolloutOptions(rows=rows, limit=limit))
        queue = RolloutQueue(trajectory, stop_ids=())
        queue.add(Branch(position=8 + i % 3, draw=i) for i in range(rows))
        list(queue)
    return counts


def count_generation(model: Model, rows: int, limit: int) -> Counts:
    """Count so many rows of greedy generation of that length, padded on the left."""
    with counting() as counts:
        model.generate(_prompts(rows), limit=limit, options=GenerationOptions(stop_ids=()))
    return counts


def count_bare_steps(model: Model, rows: int, limit: int) -> Counts:
    """Count as many steps of the plain transformers model with its cache, without choosing."""
    from transformers import DynamicCache

    module: Any = model.backend.module
    with counting() as counts:
        given = _prompts(rows).to(model.device)
        ids, mask, cache = given.ids, given.mask.long(), DynamicCache()
        for _ in range(limit):
            module(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True)
            ids, mask = ids[:, :1], torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
    return counts


def _prompts(rows: int) -> Tokens:
    return pad([list(range(3, 12 + i)) for i in range(rows)], side="left")


def _model(name: str, rows: Sequence[Example], layers: int, progress: Progress) -> Model:
    if name == CHEAP:
        return cheap_model([row.text for row in rows], layers=layers)
    return shared_model(ModelRef(name=name, device="cpu"), progress)


def _rows(model: Model, rows: Sequence[Example]) -> Iterator[Row]:
    bare = count_bare_pass(model, rows)
    yield _row("bare forward", "pass", bare, bare)
    at = (f"resid_post.{model.spec.n_layers - 1}[-1]",)
    in_pass, _ = count_pass(model, "linear", {"at": at}, rows)
    yield _row("linear, one site", "pass", in_pass, bare)
    in_pass, in_state = count_pass(model, "isotropy", {}, rows)
    yield _row("isotropy, pass only", "pass", in_pass, bare)
    yield _row("isotropy, settle and state", "shard", in_state, bare)
    yield _row("logit lens", "pass", count_pass(model, "logit-lens", {}, rows)[0], bare)
    step = per_step(count_bare_steps, model)
    yield _row("bare token step", "token step", step, step)
    yield _row("rollouts", "token step", per_step(count_rollouts, model), step)
    yield _row("greedy generation", "token step", per_step(count_generation, model), step)


def per_step(count: Callable[[Model, int, int], Counts], model: Model) -> Counts:
    """Return what one more token of every row takes: what begins and ends a generation is out."""
    few, many = (count(model, _ROWS, n) for n in _STEPS)
    return many.less(few, _STEPS[1] - _STEPS[0])


_LIMITS: dict[str, dict[str, float]] = {
    "linear, one site": {"syncs": 3, "kernels_over_bare": 1.3},
    "isotropy, pass only": {"syncs": 3, "kernels_over_bare": 1.3},
    "isotropy, settle and state": {"kernels": 300},
    "logit lens": {"syncs": 10, "kernels": 3000},
    "rollouts": {"syncs": 1},
    "greedy generation": {"syncs": 1},
}


def _bars(found: Sequence[Row]) -> Iterator[Bar]:
    for row in found:
        for quantity, limit in _LIMITS.get(row["work"], {}).items():
            claim = f"{row['work']}: {quantity.replace('_', ' ')} per {row['per']}"
            yield Bar(claim=claim, value=row[quantity], limit=limit)


def _row(work: str, per: str, counts: Counts, bare: Counts) -> Row:
    totals = counts.totals()
    return {
        "work": work,
        "per": per,
        **totals,
        "kernels_over_bare": round(totals["kernels"] / bare.totals()["kernels"], 3),
        "lines": {
            name: {line: n / counts.per for line, n in found.most_common(_LINES)}
            for name, found in counts.lines().items()
        },
    }
