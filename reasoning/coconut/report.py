"""The report of the arms: accuracies, paired differences, operations and curves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reasoning.coconut.evaluator import Evaluated
from workbench.result.estimate import Estimate
from workbench.result.intervals import mean_estimate
from workbench.result.result import Result
from workbench.result.tables import Column, Table, columns_from
from workbench.result.views import Bars, Curve
from workbench.training.ablations import (
    accuracy_columns,
    difference_words,
    null_note,
    paired_columns,
    undecided,
)
from workbench.training.loop import History

ACCURACY = accuracy_columns(
    Column(help="An arm; after a comma what its thoughts were replaced by."),
    "who",
    "Right answers to problems kept apart.",
    problems=Column("problems", "Problems judged."),
    operations=Column("operations", "Mean, vocabulary head where a token is drawn."),
    positions=Column("positions", "Mean number of positions run for a problem."),
)
PAIRED = paired_columns("who", "What it is compared with, on the same problems.")
CURVE = columns_from("""
    arm: The way of training.
    step: Training step, counted from 1 over all stages.
    stage: How many written steps are left out.
    loss (nats per token): Loss on what is still written.
""")
_AGAINST = ("pause", "no-thought", "no-curriculum", "cot", "no-cot")


def ablation_report(
    evaluated: Sequence[Evaluated],
    histories: Mapping[str, Sequence[tuple[int, History]]],
) -> Result:
    """Report every way of answering; intervals resample problems, differences are paired."""
    by_name = {one.name: one for one in evaluated}
    estimates = [_accuracy(one, by_name) for one in evaluated]
    pairs = _pairs(by_name)
    return Result(
        summary=_summary(estimates, pairs),
        estimates=tuple(estimates),
        tables={
            "accuracy": Table.from_rows(
                [_row(e, one) for e, one in zip(estimates, evaluated, strict=True)], ACCURACY
            ),
            "paired": Table.from_rows(pairs, PAIRED),
            "curve": Table.from_rows(_curve(histories), CURVE),
        },
        notes=null_note([p["against"] for p in undecided(pairs)], first="coconut and "),
        views=(
            Bars("Accuracy on problems kept apart", "accuracy", x="who", y="accuracy"),
            Curve("Loss while training", "curve", x="step", y=("loss",), group="arm"),
        ),
    )


def _accuracy(one: Evaluated, by_name: Mapping[str, Evaluated]) -> Estimate:
    made = mean_estimate(
        one.name,
        [float(r) for r in one.right],
        unit="proportion",
        n_unit="problems",
        bounds=(0.0, 1.0),
    )
    control = by_name.get("no-cot")
    if control is None or one.name == "no-cot":
        return made
    return replace(made, control=float(np.mean(control.right)), control_name="no-cot")


def _row(found: Estimate, one: Evaluated) -> dict[str, Any]:
    return {
        "who": found.name,
        "accuracy": found.value,
        "low": found.low,
        "high": found.high,
        "problems": found.n,
        "operations": float(np.mean(one.operations)),
        "positions": float(np.mean(one.positions)),
    }


def _pairs(by_name: Mapping[str, Evaluated]) -> list[dict[str, Any]]:
    mine = by_name.get("coconut")
    if mine is None:
        return []
    others = [n for n in by_name if n in _AGAINST or n.startswith("coconut,")]
    return [_pair(mine, by_name[name]) for name in others]


def _pair(mine: Evaluated, other: Evaluated) -> dict[str, Any]:
    gap = np.array(mine.right, dtype=float) - np.array(other.right, dtype=float)
    made = mean_estimate(
        "difference", gap, unit="proportion", n_unit="problems", bounds=(-1.0, 1.0)
    )
    return {
        "who": mine.name,
        "against": other.name,
        "difference": made.value,
        "low": made.low,
        "high": made.high,
    }


def _curve(histories: Mapping[str, Sequence[tuple[int, History]]]) -> list[dict[str, Any]]:
    rows = []
    for arm, stages in histories.items():
        step = 0
        for stage, history in stages:
            for loss in history.losses:
                step += 1
                rows.append({"arm": arm, "step": step, "stage": stage, "loss": loss})
    return rows


def _summary(estimates: Sequence[Estimate], pairs: Sequence[Mapping[str, Any]]) -> str:
    words = "; ".join(str(e) for e in estimates if "," not in e.name)
    clear = [p for p in pairs if p["against"] == "pause" and p["low"] is not None]
    return words + "".join(difference_words(p, "coconut") for p in clear) + "."
