"""What finding critical tokens costs: every mode against exhaustive rollouts, in one run."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.methods.contracts import Context
from workbench.methods.registry import find
from workbench.model.model import Model
from workbench.options import build
from workbench.progress import Progress, silent
from workbench.result.result import Result
from workbench.runs.bench.throughput import throughput
from workbench.runs.models import shared_model
from workbench.runs.run import environment
from workbench.runs.spec import ModelRef

MODES = ("exhaustive", "paper-identical", "screening", "off-path")
ROLLOUTS = "*-rollouts.jsonl"


@dataclass(frozen=True, kw_only=True)
class CriticalBench:
    """What to compare: a model, a task, and how many wrong trajectories of it.

    Only questions answered right in `min_success` to `max_success` of the samples count.
    """

    model: ModelRef
    task: str = ""
    trajectories: int = 10
    draws: int = 64
    new_tokens: int = 32
    min_success: float = 0.2
    max_success: float = 0.8
    seed: int = 0

    def options(self, mode: str, *, alternatives: bool = False) -> dict[str, Any]:
        """Return the options of the probe in one mode."""
        return {
            "mode": mode,
            "draws": self.draws,
            "new_tokens": self.new_tokens,
            "min_success": self.min_success,
            "max_success": self.max_success,
            "alternatives": alternatives,
        }


def bench_critical(bench: CriticalBench, *, progress: Progress = silent) -> dict[str, Any]:
    """Run every mode on the same trajectories; report draws, wall time and agreement.

    The wrong responses are drawn once and kept; continuations are drawn anew by each mode. The
    forced alternatives are drawn last, behind what screening found.

    Raises:
        TooLittleData: the task yields no wrong trajectory within the success bounds.
    """
    model = shared_model(bench.model)
    recipe: Any = find("probe", "critical-tokens").recipe
    bench = replace(bench, task=bench.task or recipe.default_task)
    with tempfile.TemporaryDirectory() as folder:
        results = {
            mode: _study(model, bench, bench.options(mode), (Path(folder), progress))
            for mode in ("exhaustive", "paper-identical", "off-path", "screening")
        }
        forced = _study(
            model,
            bench,
            bench.options("screening", alternatives=True),
            (Path(folder), progress),
            fresh=False,
        )
    rows = {mode: _mode_row(results[mode], results["exhaustive"]) for mode in MODES}
    first = results["exhaustive"].table("trajectories").rows()[0]
    speed = throughput(model, bench.task, first, new_tokens=bench.new_tokens)
    return {
        **_facts(bench, model, results["exhaustive"]),
        "modes": rows,
        "trajectory_rows": _trajectory_rows(results),
        "forced_alternatives": [e.as_dict() for e in forced.estimates if "pass@" in e.name],
        "pass_at_k": forced.table("pass_at_k").frame.to_dict("records")
        if "pass_at_k" in forced.tables
        else [],
        "throughput": speed,
        "bars": _bars(rows, speed),
    }


def _study(
    model: Model,
    bench: CriticalBench,
    options: dict[str, Any],
    where: tuple[Path, Progress],
    *,
    fresh: bool = True,
) -> Result:
    folder, progress = where
    for path in folder.glob(ROLLOUTS) if fresh else ():
        path.unlink()
    recipe: Any = build(find("probe", "critical-tokens").recipe, options)
    result: Result = recipe.study(model, (), _context(bench, folder, progress))
    return result


def _context(bench: CriticalBench, folder: Path, progress: Progress) -> Context:
    return Context(
        seed=bench.seed,
        task=bench.task,
        limit=bench.trajectories,
        scratch=folder,
        progress=progress,
    )


def _facts(bench: CriticalBench, model: Model, result: Result) -> dict[str, Any]:
    frame = result.table("trajectories").frame
    return {
        "model": model.spec.name,
        "dtype": model.spec.dtype,
        "device": str(model.device),
        "task": bench.task,
        "trajectories": len(frame),
        "draws_per_position": bench.draws,
        "mean_tokens": round(float(frame["n_tokens"].mean()), 1),
        "new_tokens_limit": bench.new_tokens,
        "seed": bench.seed,
        "environment": environment(),
    }


def _positions(result: Result) -> list[int | None]:
    column = result.table("trajectories").frame["critical_position"]
    return [None if pd.isna(p) else int(p) for p in column]


def _mode_row(result: Result, exhaustive: Result) -> dict[str, Any]:
    frame = result.table("trajectories").frame
    draws, whole = int(frame["draws"].sum()), int(frame["exhaustive"].sum())
    pairs = list(zip(_positions(result), _positions(exhaustive), strict=True))
    return {
        "draws": draws,
        "share_of_exhaustive": draws / whole,
        "same_position": sum(a == b for a, b in pairs),
        "within_one": sum(
            a == b or (a is not None and b is not None and abs(a - b) <= 1) for a, b in pairs
        ),
        "seconds": round(float(frame["seconds"].sum()), 2),
        "new_tokens": int(frame["new_tokens"].sum()),
        "fallback": int(frame["fallback"].sum()),
        "hopeless": int(frame["hopeless"].sum()),
    }


def _trajectory_rows(results: dict[str, Result]) -> list[dict[str, Any]]:
    frame = results["exhaustive"].table("trajectories").frame
    rows = []
    for i, known in enumerate(frame.to_dict("records")):
        row = {key: known[key] for key in ("question", "answer", "response", "success")}
        row["positions"] = {mode: _positions(results[mode])[i] for mode in MODES}
        row["draws"] = {
            mode: int(results[mode].table("trajectories").frame["draws"].iloc[i]) for mode in MODES
        }
        rows.append(row)
    return rows


def _bars(rows: dict[str, dict[str, Any]], speed: dict[str, float]) -> list[dict[str, Any]]:
    paper, screening = rows["paper-identical"], rows["screening"]
    same, n = paper["same_position"], rows["exhaustive"]["same_position"]
    shares = [row["share_of_exhaustive"] for row in (paper, screening)]
    checks: Sequence[tuple[str, float, str, float]] = (
        ("paper-identical: positions equal to exhaustive", same, ">=", n),
        ("paper-identical: share of draws", shares[0], "<=", 0.70),
        ("screening: share of draws", shares[1], "<=", 0.25),
        ("new tokens per second over a plain generate loop", speed["ratio"], ">=", 3.0),
    )
    return [
        {
            "claim": claim,
            "value": value,
            "bound": f"{sign} {bound:g}",
            "passed": value >= bound if sign == ">=" else value <= bound,
        }
        for claim, value, sign, bound in checks
    ]
