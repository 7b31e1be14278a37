"""What finding critical tokens costs: the modes against exhaustive rollouts, in one run."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from workbench.errors import FitError
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.progress import Progress, silent
from workbench.runs.execute import execute
from workbench.runs.models import shared_model
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.sampling.rollout import Branch, RolloutOptions, RolloutQueue, Trajectory

MODES = ("exhaustive", "paper-identical", "screening", "off-path")


@dataclass(frozen=True, kw_only=True)
class CriticalBench:
    """What to compare: a model, a task, and how many wrong trajectories of it."""

    model: ModelRef
    task: str = "arithmetic"
    trajectories: int = 10
    draws: int = 64
    new_tokens: int = 48
    seed: int = 0

    def spec(self, mode: str) -> RunSpec:
        """Return the run of one mode, over the same trajectories as the others."""
        options = {
            "mode": mode,
            "draws": self.draws,
            "new_tokens": self.new_tokens,
            "min_success": 0.2,
            "max_success": 0.8,
            "alternatives": mode == "screening",
        }
        data = DataRef(task=self.task, limit=self.trajectories)
        return RunSpec(
            name="critical-tokens", options=options, model=self.model, data=data, seed=self.seed
        )


def bench_critical(bench: CriticalBench, *, progress: Progress = silent) -> dict[str, Any]:
    """Run every mode on the same trajectories; report draws, wall time and agreement.

    Raises:
        FitError: a mode failed.
    """
    model = shared_model(bench.model)
    rows: dict[str, dict[str, Any]] = {}
    for mode in MODES:
        run = execute(bench.spec(mode), model=model, progress=progress)
        if run.result is None:
            raise FitError(f"mode {mode} failed: {run.failure and run.failure.message}")
        frame = run.result.tables["trajectories"].frame
        rows[mode] = {
            "draws": int(frame["draws"].sum()),
            "exhaustive": int(frame["exhaustive"].sum()),
            "seconds": round(float(frame["seconds"].sum()), 2),
            "new_tokens": int(frame["new_tokens"].sum()),
            "positions": [None if p != p else int(p) for p in frame["critical_position"]],
            "estimates": [e.as_dict() for e in run.result.estimates],
        }
    wanted = rows["exhaustive"]["positions"]
    for row in rows.values():
        row["share_of_exhaustive"] = row["draws"] / row["exhaustive"]
        row["same_position"] = sum(a == b for a, b in zip(row["positions"], wanted, strict=True))
    return {
        "task": bench.task,
        "trajectories": bench.trajectories,
        "modes": rows,
        "throughput": throughput(model, bench),
    }


def throughput(model: Model, bench: CriticalBench, branches: int = 64) -> dict[str, float]:
    """Compare new tokens per second with one plain `generate` call per continuation.

    Both continue the same prefixes with the same sampling settings; the plain way runs the whole
    text again for each.
    """
    prompt = model.tokenize("Question: Ana has 12 apples and gets 5 more. Answer:").row(0)
    response = model.generate(
        "Question: Ana has 12 apples and gets 5 more. Answer:", limit=24
    ).generated[0]
    policy = Sampling(temperature=0.7, top_p=0.95)
    options = RolloutOptions(policy=policy, limit=bench.new_tokens, rows=32, seed=bench.seed)
    positions = [i % max(len(response) - 1, 1) for i in range(branches)]
    start = time.perf_counter()
    queue = RolloutQueue(Trajectory(model, prompt, response, options), stop_ids=model.stop_ids)
    queue.add(Branch(position=p, draw=i) for i, p in enumerate(positions))
    ours = sum(len(rollout.tokens) for rollout in queue)
    ours_rate = ours / (time.perf_counter() - start)
    start = time.perf_counter()
    plain = sum(
        _plain(model, [*prompt, *response[:p]], bench.new_tokens)
        for p in positions[:: branches // 16]
    )
    plain_rate = plain / (time.perf_counter() - start)
    return {
        "rollouts_tokens_per_second": ours_rate,
        "plain_tokens_per_second": plain_rate,
        "ratio": ours_rate / plain_rate,
    }


def _plain(model: Model, ids: Sequence[int], limit: int) -> int:
    module: Any = model.backend.module
    given = torch.tensor([list(ids)], device=model.device)
    with torch.random.fork_rng():
        out = module.generate(
            given,
            attention_mask=torch.ones_like(given),
            do_sample=True,
            temperature=0.7,
            top_p=0.95,
            max_new_tokens=limit,
            pad_token_id=model.stop_ids[0] if model.stop_ids else 0,
        )
    return int(out.shape[1] - given.shape[1])
