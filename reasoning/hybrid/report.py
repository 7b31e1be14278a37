"""The report of the ablations: accuracies, paired differences, curves and the decay-only line."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reasoning.hybrid.ablation_run import AblationSeed
from reasoning.hybrid.ratios import RATIOS
from workbench.result.estimate import Estimate
from workbench.result.intervals import mean_interval
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table, columns_from
from workbench.result.views import Bars, Curve, View
from workbench.training.ablations import (
    accuracy_columns,
    difference_words,
    null_note,
    paired_columns,
    undecided,
)
from workbench.training.loop import History

Stories = Mapping[AblationSeed, Mapping[str, Any]]

ACCURACY = accuracy_columns(
    Column(help="The way of training; start: before any reward."),
    "arm",
    "Greedy reward on held-out problems.",
    gate_off=Column("proportion", "The same weights fed tokens only."),
    seeds=Column("seeds", "Trained so often from different random numbers."),
    problems=Column("problems", "Held-out problems."),
)
PAIRED = paired_columns(
    "arm",
    "What it is compared with, on the same problems and seeds.",
    seeds_low=Column("proportion", "Lower end, 95 %, over seeds."),
    seeds_high=Column("proportion", "Upper end, 95 %, over seeds."),
)
CURVE = columns_from("""
    arm: The way of training.
    step (updates): Updates made.
    loss: What the update descends: rewards above the group's mean, and distance.
    reward (proportion): Mean reward of the sampled responses.
    format (proportion): Responses with exactly one mark.
    mixed (proportion): Groups whose rewards differ.
    length (tokens): Mean length of the sampled responses.
    kl (nats per token): Distance to the policy before reinforcement.
    ratio_of_mean: √(1−ā²), ā the mean over steps and dimensions.
    mean_ratio: Mean of √(1−a²).
    norm_share (proportion): Length of the latent part among both parts.
""")
_MEANS = ("loss", "reward", "format", "mixed", "length", "kl", *RATIOS)


def ablation_report(stories: Stories, format_stage: History) -> Result:
    """Report all ablations; intervals resample problems, and from three seeds on also follow t."""
    right = {arm: _verdicts(stories, arm, "right") for arm in _names(stories)}
    off = {arm: _verdicts(stories, arm, "right_gate_off") for arm in right}
    start = _verdicts(stories, next(iter(right)), "start")
    estimates = [_accuracy(arm, right[arm], off[arm]) for arm in right]
    pairs = [_paired(arm, "grpo", right) for arm in right if arm != "grpo" and "grpo" in right]
    if {"hrpo", "decay-only"} <= set(right):
        pairs.append(_paired("hrpo", "decay-only", right))
    estimates.append(_accuracy("start", start, start))
    pairs += [_paired(arm, "start", {**right, "start": start}) for arm in right]
    tables = {
        "accuracy": Table.from_rows(
            [_accuracy_row(e, right.get(e.name, start), off.get(e.name, start)) for e in estimates],
            ACCURACY,
        ),
        "curve": Table.from_rows(_curve_rows(stories), CURVE),
        "format_stage": Table.from_rows(
            [{"step": i + 1, "loss": loss} for i, loss in enumerate(format_stage.losses)],
            {"loss": Column("nats per token", "Imitation of written answers.")},
        ),
    }
    if pairs:
        tables["paired"] = Table.from_rows(pairs, PAIRED)
    return Result(
        summary=_summary(estimates, pairs),
        estimates=tuple(estimates),
        tables=tables,
        notes=_notes(stories, pairs),
        views=_views(right),
    )


def _names(stories: Stories) -> list[str]:
    return list(dict.fromkeys(one.ablation for one in stories))


def _verdicts(stories: Stories, arm: str, name: str) -> NDArray[np.float64]:
    """Return the verdicts as [seed, problem]."""
    return np.array(
        [story["judged"][name] for one, story in stories.items() if one.ablation == arm],
        dtype=float,
    )


def _accuracy(arm: str, right: NDArray[np.float64], off: NDArray[np.float64]) -> Estimate:
    mean = right.mean(axis=0)
    band = mean_interval(mean, bounds=(0.0, 1.0))
    return Estimate(
        name=arm,
        value=float(mean.mean()),
        unit="proportion",
        n=len(mean),
        n_unit="problems",
        low=band.low,
        high=band.high,
        method=f"{band.method}, mean of {len(right)} seeds",
        control=float(off.mean()),
        control_name="gate off",
    )


def _accuracy_row(
    found: Estimate, right: NDArray[np.float64], off: NDArray[np.float64]
) -> dict[str, Any]:
    return {
        "arm": found.name,
        "accuracy": found.value,
        "low": found.low,
        "high": found.high,
        "gate_off": float(off.mean()),
        "seeds": len(right),
        "problems": right.shape[1],
    }


def _paired(arm: str, other: str, right: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    gap = right[arm] - right[other]
    by_problem, by_seed = gap.mean(axis=0), gap.mean(axis=1)
    band = mean_interval(by_problem, bounds=(-1.0, 1.0))
    over_seeds = mean_interval(by_seed, bounds=(-1.0, 1.0))
    return {
        "arm": arm,
        "against": other,
        "difference": float(by_problem.mean()),
        "low": band.low,
        "high": band.high,
        "seeds_low": over_seeds.low,
        "seeds_high": over_seeds.high,
    }


def _curve_rows(stories: Stories) -> list[dict[str, Any]]:
    """Average the curves of the seeds step by step."""
    rows = []
    for arm in _names(stories):
        curves = [story["curve"] for one, story in stories.items() if one.ablation == arm]
        for each in zip(*curves, strict=False):
            row: dict[str, Any] = {"arm": arm, "step": each[0]["step"]}
            for name in _MEANS:
                known = [float(r[name]) for r in each if r[name] is not None]
                row[name] = float(np.mean(known)) if known else None
            rows.append(row)
    return rows


def _summary(estimates: Sequence[Estimate], pairs: Sequence[Mapping[str, Any]]) -> str:
    clear = [p for p in pairs if p["against"] == "grpo" and p["low"] is not None]
    words = "; ".join(map(str, estimates))
    return words + "".join(difference_words(p, p["arm"]) for p in clear) + "."


def _notes(stories: Stories, pairs: Sequence[Mapping[str, Any]]) -> tuple[Note, ...]:
    steps = {len(story["curve"]) for story in stories.values()}
    notes = [
        Note(
            "decay alone opens the gate: read every ratio beside the arm decay-only",
            code="decay-opens-the-gate",
        )
    ]
    if len(steps) > 1:
        notes.append(
            Note(
                f"time ran out: arms made between {min(steps)} and {max(steps)} updates",
                "warning",
                "unequal-steps",
            )
        )
    null = [f"{p['arm']} and {p['against']}" for p in undecided(pairs)]
    return (*notes, *null_note(null))


def _views(right: Mapping[str, Any]) -> tuple[View, ...]:
    views: list[View] = [
        Curve("Reward while training", "curve", x="step", y=("reward",), group="arm"),
        Bars("Held-out accuracy", "accuracy", x="arm", y="accuracy"),
    ]
    if set(right) != {"grpo"}:
        views += [
            Curve(f"Hidden ratio: {name}", "curve", x="step", y=(name,), group="arm")
            for name in RATIOS
        ]
    views.append(Curve("Length while training", "curve", x="step", y=("length",), group="arm"))
    return tuple(views)
