"""From solved problems to a Result: accuracy with its baselines, the chains, their cost."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from workbench.methods.study_report import study_report
from workbench.result.estimate import Estimate
from workbench.result.result import Note, Result
from workbench.result.views import Bars, Heatmap, Points
from workbench.runs.chain_tables import (
    COLUMNS,
    METRICS,
    cost_rows,
    problem_rows,
    samples_of_problems,
    step_rows,
)
from workbench.runs.latent_path import path_table, vectors_of
from workbench.runs.solved import Solved

MOST_VECTOR_NUMBERS = 1 << 24
SHOWN_PROBLEMS = 12
_SHOWN = ("problem", "step", "text", "logprob", "stop")
_PLOTS = (
    Bars("Accuracy beside its baselines", "accuracy", x="who", y="accuracy"),
    Bars("Operations by stage", "costs", x="stage", y="flops_last"),
    Heatmap(
        "What each step says", "shown", row="problem", column="step", value="logprob", text="text"
    ),
    Points(
        "The latent path on its plane of greatest variance",
        "path",
        x="x",
        y="y",
        color="step",
        label="text",
    ),
)


def report(name: str, solved: Sequence[Solved], asked: int) -> Result:
    """Report accuracy with interval and baselines, every chain, and what it took."""
    problems, costs = problem_rows(solved), cost_rows(solved)
    found = samples_of_problems(problems, grouped=False)
    majority, chance = _majority(solved), _chance(solved)
    accuracy = samples_of_problems(problems, grouped=True).estimate("accuracy")
    accuracy = accuracy.against(majority.value, "majority answer")
    vectors = vectors_of(solved, _most_vectors(solved))
    result = study_report(
        found,
        summary=f"{name}: {_words(accuracy)} of {len(solved)} problems right, "
        f"{accuracy.beside_control} the commonest answer ({majority.value or 0:.1%}); "
        f"{costs[-1]['flops_last'] / 1e6:.3g} million operations each",
        estimates=(
            *(accuracy, majority, chance),
            *(found.estimate(metric) for metric in METRICS if metric != "accuracy"),
        ),
        averages={},
        rows={
            "accuracy": _accuracy_rows(name, accuracy, majority, chance),
            "problems": problems,
            "steps": step_rows(solved, most_vectors=len(vectors)),
            "shown": [
                {column: row[column] for column in _SHOWN}
                for row in step_rows(solved[:SHOWN_PROBLEMS], most_vectors=0)
            ],
            "costs": costs,
            "path": path_table(solved, vectors) if len(vectors) > 2 else [],
        },
        columns=COLUMNS,
        plots=_PLOTS,
        notes=_notes(solved, asked, accuracy),
    )
    return replace(result, arrays={"vectors": vectors} if len(vectors) else {})


def _majority(solved: Sequence[Solved]) -> Estimate:
    """The share of the commonest reference answer: what always giving it would score."""
    answer, count = Counter(one.problem.answer for one in solved).most_common(1)[0]
    return Estimate(
        name="majority",
        value=count / len(solved),
        unit="proportion",
        n=len(solved),
        n_unit="problems",
        method="share of the commonest answer among these problems",
        note=f"answer {answer!r}",
    )


def _chance(solved: Sequence[Solved]) -> Estimate:
    """What guessing scores: among the choices of each problem, or among all answers seen."""
    kinds = len({one.problem.answer for one in solved})
    open_ended = any(one.n_choices == 0 for one in solved)
    value = sum(1 / (one.n_choices or kinds) for one in solved) / len(solved)
    return Estimate(
        name="chance",
        value=value,
        unit="proportion",
        n=len(solved),
        n_unit="problems",
        method=f"one of the {kinds} answers seen"
        if open_ended
        else "one of each problem's choices",
    )


def _accuracy_rows(name: str, *found: Estimate) -> list[dict[str, Any]]:
    return [
        {"who": name if e.name == "accuracy" else e.name, "accuracy": e.value}
        | {"low": e.low, "high": e.high}
        for e in found
    ]


def _notes(solved: Sequence[Solved], asked: int, accuracy: Estimate) -> tuple[Note, ...]:
    notes = []
    if len(solved) < asked:
        notes.append(Note(f"stopped after {len(solved)} of {asked} problems", "warning", "stopped"))
    limited = sum(one.chain.ended == "limit" for one in solved)
    if limited:
        text = f"{limited} chains were ended by the limit on steps"
        notes.append(Note(text, "warning", "limit"))
    cut = sum(not one.verdict.is_finished for one in solved)
    if cut:
        text = f"{cut} of {len(solved)} chains are not finished: they have no answer and count as"
        notes.append(Note(f"{text} not right; raise the limit", "warning", "unfinished"))
    notes.append(_judged_by(solved))
    low, control = accuracy.low, accuracy.control
    if low is not None and control is not None and low <= control:
        text = "not better than always giving the commonest answer, within the interval"
        notes.append(Note(text, "warning", "baseline"))
    return tuple(notes)


def _judged_by(solved: Sequence[Solved]) -> Note:
    """Name the grader and how many answers each convention gave."""
    graders = dict.fromkeys(one.verdict.grader for one in solved)
    counts = Counter(
        one.verdict.convention or "answers" for one in solved if one.verdict.answer is not None
    )
    told = ", ".join(f"{name} {n}" for name, n in counts.most_common()) or "none"
    missing = len(solved) - counts.total()
    text = f"judged by {', '.join(graders)}; answers by convention: {told}; no answer {missing}"
    return Note(text, code="grader")


def _most_vectors(solved: Sequence[Solved]) -> int:
    widths = [len(s.vector) for one in solved for s in one.chain.steps if s.vector is not None]
    return MOST_VECTOR_NUMBERS // max(widths) if widths else 0


def _words(accuracy: Estimate) -> str:
    if accuracy.value is None:
        return "an unknown share"
    if accuracy.low is None or accuracy.high is None:
        return f"{accuracy.value:.1%}"
    return f"{accuracy.value:.1%} [{accuracy.low:.1%}, {accuracy.high:.1%}]"
