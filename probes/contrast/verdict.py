"""What preference training changed: greedy accuracy of every arm on the same problems."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from probes.contrast.selection import Response
from workbench.result.estimate import Estimate
from workbench.result.intervals import mean_estimate, proportion_estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table, columns_from
from workbench.result.views import Bars
from workbench.sampling.task import Problem

BASE = "base"

_ACCURACY = columns_from("""
    model: The base model, or one arm trained on the same pairs.
    accuracy (proportion; low, high): Problems answered right by greedy decoding.
    gain (proportion; gain_low, gain_high): Difference from the base, paired by problem.
    mended (problems): Wrong in the base, right here.
    broken (problems): Right in the base, wrong here.
    n (problems): Held-out problems.
""")


def judge(
    problems: Sequence[Problem],
    answers: Mapping[str, Sequence[Response]],
    compared: Sequence[tuple[str, str]],
) -> Result:
    """Report the accuracy of every model and their differences, paired by problem.

    `answers` begins with the base model, with which every arm is compared; `compared` are
    further pairs of arms.
    """
    arms = [name for name in answers if name != BASE]
    pairs = [*((name, BASE) for name in arms), *compared]
    found = (
        *accuracies(answers),
        *(_difference(answers, one, other) for one, other in pairs),
    )
    text = (
        f"intervals are over problems, for one training run each: another seed moves the arms too; "
        f"the {len(pairs)} differences are not corrected for their number"
    )
    return Result(
        summary=_summary(found),
        notes=(Note(text),),
        estimates=found,
        tables={
            "accuracy": _accuracy_table(answers, found),
            "answers": _answer_table(problems, answers),
        },
        views=(Bars("Greedy accuracy on held-out problems", "accuracy", x="model", y="accuracy"),),
    )


def accuracies(answers: Mapping[str, Sequence[Response]]) -> list[Estimate]:
    """Return the accuracy of every model with its exact interval, the base beside each arm."""
    base = _right(answers[BASE])
    found = []
    for name, responses in answers.items():
        right = _right(responses)
        made = proportion_estimate(
            f"{name} accuracy", int(right.sum()), len(right), n_unit="problems"
        )
        is_arm = name != BASE
        found.append(
            replace(made, control=float(base.mean()), control_name=BASE) if is_arm else made
        )
    return found


def _accuracy_table(
    answers: Mapping[str, Sequence[Response]], estimates: Sequence[Estimate]
) -> Table:
    """Put accuracies and differences from the base side by side."""
    by_name = {e.name: e for e in estimates}
    base, rows = _right(answers[BASE]), []
    for name, responses in answers.items():
        made, gain = by_name[f"{name} accuracy"], by_name.get(_minus(name, BASE))
        right = _right(responses)
        rows.append(
            {
                "model": name,
                "accuracy": made.value,
                "low": made.low,
                "high": made.high,
                "gain": gain.value if gain else None,
                "gain_low": gain.low if gain else None,
                "gain_high": gain.high if gain else None,
                "mended": int((right & ~base).sum()),
                "broken": int((base & ~right).sum()),
                "n": len(right),
            }
        )
    return Table.from_rows(rows, _ACCURACY)


def _answer_table(problems: Sequence[Problem], answers: Mapping[str, Sequence[Response]]) -> Table:
    """Return what every model answered to every held-out problem."""
    rows = []
    for i, problem in enumerate(problems):
        row: dict[str, str | None] = {"question": problem.question, "answer": problem.answer}
        rows.append(row | {name: found[i].answer for name, found in answers.items()})
    columns = {name: Column(help=f"Final answer of {name}.") for name in answers}
    return Table.from_rows(rows, columns)


def _summary(estimates: Sequence[Estimate]) -> str:
    """Say every accuracy, and which differences are more than chance."""
    levels = ", ".join(str(replace(e, control=None)) for e in estimates if " − " not in e.name)
    told = [e for e in estimates if " − " in e.name and _is_clear(e)]
    changes = "; ".join(map(str, told)) or "no difference lies beyond its interval"
    return f"{levels}; {changes}."


def _difference(answers: Mapping[str, Sequence[Response]], one: str, other: str) -> Estimate:
    change = _right(answers[one]).astype(float) - _right(answers[other])
    made = mean_estimate(
        _minus(one, other), change, unit="proportion", n_unit="problems", bounds=(-1.0, 1.0)
    )
    return replace(made, method=f"{made.method}, paired by problem")


def _minus(one: str, other: str) -> str:
    return f"{one} − {other}"


def _is_clear(estimate: Estimate) -> bool:
    low, high = estimate.low, estimate.high
    return low is not None and high is not None and (low > 0 or high < 0)


def _right(responses: Sequence[Response]) -> np.ndarray:
    return np.array([r.correct for r in responses], dtype=bool)
