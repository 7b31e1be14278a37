"""Several reasoners on the same problems, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from workbench.errors import InputError
from workbench.methods.per_unit_report import axis_table
from workbench.result.metric import Axis, number
from workbench.result.result import Note, Result
from workbench.result.samples import VALUE, Samples
from workbench.result.sums import ratio
from workbench.result.tables import Column, Table
from workbench.result.views import Bars, Points
from workbench.runs.chain_tables import METRICS, samples_of_problems
from workbench.runs.run import Run
from workbench.sampling.address import TaskAddress

_METRICS = {
    **{name: replace(one, axes=("reasoner",), headline=None) for name, one in METRICS.items()},
    "difference": number(
        "proportion", "From the first reasoner, on the same problems.", "reasoner", bounds=(-1, 1)
    ),
    **{
        f"share_{name}": number(
            "proportion", "Operations as a share of the first reasoner's.", "reasoner", of=ratio
        )
        for name in ("last", "every")
    },
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
    comparison = _comparison(names, runs, results)
    return Result(
        summary=_summary(comparison.rows()[: len(runs)], len(problems[0])),
        tables={"comparison": comparison, "side_by_side": _answers(names, results)},
        notes=_notes(names, results),
        views=(
            Bars("Accuracy", "comparison", x="reasoner", y="accuracy"),
            Points(
                "Accuracy against operations",
                "comparison",
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


def _summary(rows: Sequence[Mapping[str, Any]], n: int) -> str:
    found = ", ".join(f"{r['reasoner']} {_share_words(r, 'accuracy')}" for r in rows)
    differ = [
        r
        for r in rows[1:]
        if r["difference_low"] is not None and r["difference_low"] * r["difference_high"] > 0
    ]
    gaps = ", ".join(f"{r['reasoner']} by {_share_words(r, 'difference')}" for r in differ)
    who = "some differ" if gaps else "none is shown to differ"
    verdict = f"{who} from {rows[0]['reasoner']}{': ' if gaps else ''}{gaps}"
    return f"{verdict}; right answers to {n} problems: {found}"


def _share_words(row: Mapping[str, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low is None or high is None:
        return f"{row[name]:.1%}"
    return f"{row[name]:.1%} [{100 * low:.1f}, {100 * high:.1f}]"


def _result(run: Run) -> Result:
    if run.result is None or "problems" not in run.result.tables:
        raise InputError(f"run {run.run_id} holds no chains", hint="compare runs of reasoners")
    return run.result


def _samples(names: Sequence[str], results: Sequence[Result]) -> Samples:
    """Return what each problem gave under every reasoner."""
    each = [samples_of_problems(r.table("problems").rows(), grouped=True) for r in results]
    values = {
        name: np.stack([one.sums[VALUE, name, ()] for one in each], axis=1) for name in METRICS
    }
    values["difference"] = values["accuracy"] - values["accuracy"][:, :1]
    for name in ("last", "every"):
        cost = values[f"flops_{name}"]
        values[f"share_{name}"] = np.stack([cost, np.broadcast_to(cost[:, :1], cost.shape)], -1)
    return Samples.of(
        {VALUE: values},
        _METRICS,
        groups=each[0].groups,
        unit="problems",
        axes_of={"reasoner": Axis(help="The reasoner with its options.", labels=tuple(names))},
    )


def _comparison(names: Sequence[str], runs: Sequence[Run], results: Sequence[Result]) -> Table:
    """Return a row for each reasoner and each baseline."""
    found = axis_table(_samples(names, results), ("reasoner",))
    rows = [row | {"run": run.run_id} for row, run in zip(found.rows(), runs, strict=True)]
    # The first one is compared with itself, on whatever problems.
    rows[0] |= {"difference_low": 0.0, "difference_high": 0.0}
    for name in ("majority", "chance"):
        accuracy = {"accuracy": results[0].estimate(name).value}
        rows.append(dict.fromkeys(rows[0]) | {"reasoner": name} | accuracy)
    return Table.from_rows(rows, {**found.columns, "run": Column(help="The stored run.")})


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
