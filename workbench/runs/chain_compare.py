"""Several reasoners on the same problems, side by side."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from workbench.errors import InputError
from workbench.result.estimate import Estimate
from workbench.result.intervals import grouped_mean_estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Bars, Points
from workbench.runs.run import Run
from workbench.sampling.address import TaskAddress

COLUMNS = {
    "reasoner": Column(help="The reasoner with its options, or a baseline."),
    "accuracy": Column("proportion", "Share of problems right.", "low", "high"),
    "difference": Column(
        "proportion", "From the first reasoner, on the same problems.", "diff_low", "diff_high"
    ),
    "unfinished": Column("proportion", "Share of chains that a limit cut off; not right."),
    "steps": Column("steps", "Mean length of a chain."),
    "flops_last": Column("operations", "Per problem, head where a token is drawn."),
    "flops_every": Column("operations", "Per problem, head at every position of the prompt too."),
    "share_last": Column("proportion", "Operations as a share of the first reasoner's."),
    "share_every": Column("proportion", "The same under the other convention."),
    "seconds": Column("seconds", "Wall time per problem, in batches."),
    "run": Column(help="The stored run."),
}


def reasoner_address(text: str) -> tuple[str, dict[str, str]]:
    """Take `NAME?option=value&option=value` apart.

    Raises:
        BadOption: what follows the question mark is not that.
    """
    asked = TaskAddress.parse(text)
    return asked.name, asked.options


def compare_chains(runs: Sequence[Run], names: Sequence[str]) -> Result:
    """Put finished runs on the same problems side by side; differences are paired by problem.

    Raises:
        InputError: a run has no result, or they are not about the same problems.
    """
    results = [_result(run) for run in runs]
    problems = [list(result.table("problems")["problem"]) for result in results]
    if any(found != problems[0] for found in problems):
        raise InputError("the runs are about different problems", hint="same --task and --limit")
    rows = [
        _row(name, run, result, results[0])
        for name, run, result in zip(names, runs, results, strict=True)
    ]
    rows += [_baseline(results[0].estimate(name)) for name in ("majority", "chance")]
    return Result(
        summary=_summary(rows[: len(runs)], len(problems[0])),
        tables={
            "comparison": Table.from_rows(rows, COLUMNS),
            "side_by_side": _answers(names, results),
        },
        notes=_notes(names, results),
        views=(
            Bars(title="Accuracy", table="comparison", x="reasoner", y="accuracy"),
            Points(
                title="Accuracy against operations",
                table="comparison",
                x="flops_last",
                y="accuracy",
                color="reasoner",
                label="reasoner",
            ),
        ),
    )


def _notes(names: Sequence[str], results: Sequence[Result]) -> tuple[Note, ...]:
    """Take over the warnings of every run; one that all share is said once."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, result in zip(names, results, strict=True):
        for note in result.notes:
            if note.level == "warning":
                found.setdefault((note.text, note.code), []).append(name)
    return tuple(
        Note(text if len(who) == len(names) else f"{', '.join(who)}: {text}", "warning", code)
        for (text, code), who in found.items()
    )


def _summary(rows: Sequence[dict[str, Any]], n: int) -> str:
    found = ", ".join(f"{r['reasoner']} {_share_words(r, 'accuracy', '')}" for r in rows)
    differ = [
        r for r in rows[1:] if r["diff_low"] is not None and r["diff_low"] * r["diff_high"] > 0
    ]
    gaps = ", ".join(f"{r['reasoner']} by {_share_words(r, 'difference', 'diff_')}" for r in differ)
    words = f"{gaps}, from {rows[0]['reasoner']}" if gaps else "nobody"
    return f"right answers to {n} problems: {found}; differing beyond the interval: {words}"


def _share_words(row: dict[str, Any], name: str, prefix: str) -> str:
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    if low is None or high is None:
        return f"{row[name]:.1%}"
    return f"{row[name]:.1%} [{100 * low:.1f}, {100 * high:.1f}]"


def _result(run: Run) -> Result:
    if run.result is None or "problems" not in run.result.tables:
        raise InputError(f"run {run.run_id} holds no chains", hint="compare runs of reasoners")
    return run.result


def _row(name: str, run: Run, result: Result, first: Result) -> dict[str, Any]:
    accuracy, difference = result.estimate("accuracy"), _difference(result, first)
    values = {e.name: e.value for e in result.estimates}
    base = {e.name: e.value for e in first.estimates}
    return {
        "reasoner": name,
        "accuracy": accuracy.value,
        "low": accuracy.low,
        "high": accuracy.high,
        "difference": difference.value,
        "diff_low": difference.low,
        "diff_high": difference.high,
        "unfinished": values.get("unfinished"),
        "steps": values["steps"],
        "flops_last": values["flops_last"],
        "flops_every": values["flops_every"],
        "share_last": _share(values["flops_last"], base["flops_last"]),
        "share_every": _share(values["flops_every"], base["flops_every"]),
        "seconds": values["seconds"],
        "run": run.run_id,
    }


def _difference(result: Result, first: Result) -> Estimate:
    here, there = (
        np.asarray(r.table("problems")["correct"], dtype=np.float64) for r in (result, first)
    )
    groups = [str(g) for g in result.table("problems")["group"]]
    found = grouped_mean_estimate(
        "difference", here - there, groups, unit="proportion", n_unit="problems", bounds=(-1.0, 1.0)
    )
    if result is first:
        return replace(found, low=0.0, high=0.0, method="compared with itself")
    return found


def _share(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def _baseline(estimate: Estimate) -> dict[str, Any]:
    return dict.fromkeys((*COLUMNS, "low", "high", "diff_low", "diff_high")) | {
        "reasoner": estimate.name,
        "accuracy": estimate.value,
    }


def _answers(names: Sequence[str], results: Sequence[Result]) -> Table:
    first = results[0].table("problems")
    rows = [
        {"problem": problem, "reference": reference}
        | {
            name: str(result.table("problems")["response"].iloc[i])
            for name, result in zip(names, results, strict=True)
        }
        for i, (problem, reference) in enumerate(
            zip(first["problem"], first["reference"], strict=True)
        )
    ]
    columns = {name: Column(help="Its whole response.") for name in names}
    return Table.from_rows(rows, {"problem": Column(help="Name of the problem."), **columns})
