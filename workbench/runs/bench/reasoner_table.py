"""The tables of a benchmark of reasoners, from the records of its cells."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import stats

from workbench.result.intervals import bootstrap_weights, correct, resampled
from workbench.result.tables import columns_from
from workbench.runs.bench.reasoner_answers import TRAINED
from workbench.runs.bench.reasoner_plan import ANSWER_ONLY, ARMS, CHAIN, TASKS

Record = Mapping[str, Any]
_RESAMPLES = 2000
_COMPARED = (ANSWER_ONLY, CHAIN)

ACCURACY = columns_from("""
    task: What was trained on.
    row: Problems like those, deeper ones, or ones of unseen links.
    arm: The way of reasoning.
    accuracy (proportion; low, high): Right answers, mean over seeds.
    low (proportion): Lower end, 95 %, over problems and seeds.
    high (proportion): Upper end, 95 %, over problems and seeds.
    lowest_seed (proportion): The lowest accuracy of a seed.
    highest_seed (proportion): The highest accuracy of a seed.
    seeds (seeds): Trained so often from different data and weights.
    problems (problems): The same for every arm and seed.
    chance (proportion): What the commonest answer gets.
    operations (operations): A problem; head where a token is drawn.
    operations_every (operations): The same with the head at every position.
    positions (positions): Chain length: positions run after the prompt.
    ms (ms): Processor time of a problem in batches of 64.
    training_s (s): Wall time of the arm's own stages; other work may share the core.
""")
PAIRED = columns_from("""
    task: What was trained on.
    arm: The way of reasoning.
    against: What it is compared with, on the same problems and seeds.
    difference (proportion; low, high): Mean difference in accuracy.
    low (proportion): Lower end, 95 %, over problems and seeds.
    high (proportion): Upper end, 95 %, over problems and seeds.
    p: Two-sided, of one comparison.
    p_holm: Corrected for all comparisons of the table.
""")
REPLACED = columns_from("""
    task: What was trained on.
    arm: The way of reasoning.
    thoughts: What stands in place of its thoughts.
    accuracy (proportion): Right answers with it.
    change (proportion; low, high): Against its own thoughts.
    low (proportion): Lower end, 95 %, over problems and seeds.
    high (proportion): Upper end, 95 %, over problems and seeds.
    changed (proportion): Problems whose written answer is another one.
""")
DEPTH = columns_from("""
    task: What was trained on.
    row: Problems like those, deeper ones, or ones of unseen links.
    arm: The way of reasoning.
    depth (steps): Written steps of the problem's solution.
    accuracy (proportion): Right answers, mean over seeds.
    problems (problems): Problems of that depth.
""")


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdicts:
    """Values by seed and problem; `groups` names the problems that belong together."""

    values: Float[np.ndarray, "seed problem"]
    groups: Sequence[str] | Sequence[int]

    def minus(self, other: "Verdicts") -> "Verdicts":
        """Return the paired differences."""
        return Verdicts(values=self.values - other.values, groups=self.groups)

    def draws(self, generator: np.random.Generator) -> Float[np.ndarray, " resample"]:
        """Return the mean on other draws of seeds and of problems, each drawn by itself.

        One seed fewer than there are is drawn, which makes their variance unbiased; a single one
        stands for itself. Source: Davison & Hinkley 1997, section 3.8.
        """
        names, place = np.unique(np.asarray(self.groups), return_inverse=True)
        sums = np.zeros((len(self.values), len(names)))
        np.add.at(sums.T, place, self.values.T)
        sizes = np.bincount(place, minlength=len(names)).astype(float)
        problems = bootstrap_weights(len(names), resamples=_RESAMPLES, generator=generator)
        n = len(self.values)
        drawn = generator.integers(0, n, size=(_RESAMPLES, max(1, n - 1)))
        seeds = np.stack([np.bincount(row, minlength=n) for row in drawn]).astype(float)
        total = np.einsum("rs,sg,rg->r", seeds, sums, problems)
        found: NDArray[np.float64] = total / (seeds.sum(axis=1) * (problems @ sizes))
        return found

    def interval(self, bounds: tuple[float, float]) -> dict[str, float | None]:
        """Return both ends over problems and seeds, and the p-value that the mean is zero."""
        mean = float(self.values.mean())
        draws = self.draws(np.random.default_rng(0))
        n = len(set(self.groups))
        found = resampled(mean, draws, n, bounds=bounds)
        error = float(draws.std()) * (n / max(1, n - 1)) ** 0.5
        p = float(2 * stats.t.sf(abs(mean) / error, n - 1)) if error > 0 else float(mean == 0)
        return {"low": found.low, "high": found.high, "p": p}


def gathered(records: Iterable[Record], row: str, what: str = "right") -> dict[Any, Verdicts]:
    """Return the values of a row by task and arm; seeds that lack it are left out."""
    found: dict[Any, list[Record]] = {}
    for record in records:
        if row in record["rows"]:
            found.setdefault((record["task"], record["arm"]), []).append(record)
    return {
        key: Verdicts(
            values=np.array([r["rows"][row][what] for r in some], dtype=float),
            groups=some[0]["rows"][row]["group"],
        )
        for key, some in found.items()
    }


def accuracy_rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return accuracy, operations, time and length of every task, row and arm."""
    found = []
    for task in TASKS:
        for row in (TRAINED, *TASKS[task].further):
            kept = [r for r in records if r["task"] == task]
            right = gathered(kept, row)
            costs = {what: gathered(kept, row, what) for what in _COSTS}
            for arm in ARMS:
                if (task, arm) in right:
                    told: dict[str, Any] = {"task": task, "row": row, "arm": arm}
                    told |= _accuracy(right[task, arm], TASKS[task].chance)
                    told |= {name: float(c[task, arm].values.mean()) for name, c in costs.items()}
                    told["ms"] = 1000 * told.pop("seconds")
                    mine = [r["training"]["wall_seconds"] for r in kept if r["arm"] == arm]
                    found.append({**told, "training_s": float(np.mean(mine))})
    return found


_COSTS = ("operations", "operations_every", "positions", "seconds")


def _accuracy(right: Verdicts, chance: float) -> dict[str, Any]:
    by_seed = right.values.mean(axis=1)
    ends = right.interval((0.0, 1.0))
    return {
        "accuracy": float(by_seed.mean()),
        "low": ends["low"],
        "high": ends["high"],
        "lowest_seed": float(by_seed.min()),
        "highest_seed": float(by_seed.max()),
        "seeds": len(by_seed),
        "problems": right.values.shape[1],
        "chance": chance,
    }


def paired_rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return every arm less answer-only and chain of thought, on the seeds that both have."""
    found: list[dict[str, Any]] = []
    for task in TASKS:
        for arm in ARMS:
            for other in _COMPARED:
                pair = _shared(records, task, arm, other) if arm != other else None
                if pair is None or (arm, other) == (ANSWER_ONLY, CHAIN):
                    continue
                gap = pair[0].minus(pair[1])
                told = {"task": task, "arm": arm, "against": other}
                found.append(
                    {**told, "difference": float(gap.values.mean()), **gap.interval((-1.0, 1.0))}
                )
    if found:
        for row, p in zip(found, correct([r["p"] for r in found], method="holm"), strict=True):
            row["p_holm"] = float(p)
    return found


def _shared(
    records: Sequence[Record], task: str, arm: str, other: str
) -> tuple[Verdicts, Verdicts] | None:
    known = {(r["arm"], r["seed"]) for r in records if r["task"] == task}
    seeds = {s for a, s in known if a == arm} & {s for a, s in known if a == other}
    kept = [r for r in records if r["task"] == task and r["seed"] in seeds]
    right = gathered(kept, TRAINED)
    return (right[task, arm], right[task, other]) if seeds else None


def replaced_rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return what becomes of every arm whose thoughts are replaced."""
    found = []
    for task in TASKS:
        for arm, known in ARMS.items():
            kept = [r for r in records if (r["task"], r["arm"]) == (task, arm)]
            own = gathered(kept, TRAINED).get((task, arm))
            for what in known.replaced if own else ():
                row = f"{TRAINED}, {what}"
                kept_too = [r for r in kept if row in r["rows"]]
                if own is None or len(kept_too) < len(kept):
                    continue
                right = gathered(kept, row)[task, arm]
                gap = right.minus(own)
                ends = gap.interval((-1.0, 1.0))
                found.append(
                    {
                        "task": task,
                        "arm": arm,
                        "thoughts": what,
                        "accuracy": float(right.values.mean()),
                        "change": float(gap.values.mean()),
                        "low": ends["low"],
                        "high": ends["high"],
                        "changed": float(gathered(kept, row, "changed")[task, arm].values.mean()),
                    }
                )
    return found


def depth_rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the accuracy by the number of written steps."""
    found = []
    for task in TASKS:
        for row in (TRAINED, *TASKS[task].further):
            kept = [r for r in records if r["task"] == task]
            for (_, arm), right in gathered(kept, row).items():
                depth = np.array(kept[0]["rows"][row]["depth"])
                for n in np.unique(depth):
                    told = {"task": task, "row": row, "arm": arm, "depth": int(n)}
                    at = right.values[:, depth == n]
                    found.append({**told, "accuracy": float(at.mean()), "problems": at.shape[1]})
    return found
