"""From solved problems to a Result: accuracy with its baselines, the chains, their cost."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from workbench.result.estimate import Estimate
from workbench.result.intervals import (
    grouped_proportion_estimate,
    mean_estimate,
    proportion_estimate,
)
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Bars, Heatmap, Points, View
from workbench.runs.chain_tables import cost_table, problem_table, step_table
from workbench.runs.latent_path import path_table, vectors_of
from workbench.runs.solved import Solved

MOST_VECTOR_NUMBERS = 1 << 24
SHOWN_PROBLEMS = 12
FEW = 30


def report(name: str, solved: Sequence[Solved], asked: int) -> Result:
    """Report accuracy with interval and baselines, every chain, and what it took."""
    accuracy = _accuracy(solved)
    majority, chance = _majority(solved), _chance(solved)
    accuracy = replace(accuracy, control=majority.value, control_name="majority answer")
    costs = cost_table(solved)
    vectors = vectors_of(solved, _most_vectors(solved))
    tables = {
        "accuracy": _accuracy_table(name, accuracy, majority, chance),
        "problems": problem_table(solved),
        "steps": step_table(solved, most_vectors=len(vectors)),
        "shown": _shown(solved),
        "costs": costs,
    }
    if len(vectors) > 2:
        tables["path"] = path_table(solved, vectors)
    return Result(
        summary=f"{name}: {_words(accuracy)} of {len(solved)} problems right; "
        f"{_million(_total(costs, 'flops_last'))} million operations each",
        estimates=(accuracy, majority, chance, _unfinished(solved), *_means(solved)),
        tables=tables,
        arrays={"vectors": vectors} if len(vectors) else {},
        notes=_notes(solved, asked, accuracy),
        views=_views(tables),
    )


def _accuracy(solved: Sequence[Solved]) -> Estimate:
    right = [float(one.is_correct) for one in solved]
    groups = [one.group for one in solved]
    if len(set(groups)) == len(groups):
        return proportion_estimate("accuracy", int(sum(right)), len(right), n_unit="problems")
    return grouped_proportion_estimate(
        "accuracy",
        right,
        groups,
        n_unit="problems",
    )


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


def _unfinished(solved: Sequence[Solved]) -> Estimate:
    """The share of chains that a limit cut off: they have no answer and are not right."""
    count = sum(not one.verdict.is_finished for one in solved)
    return proportion_estimate("unfinished", count, len(solved), n_unit="problems")


def _means(solved: Sequence[Solved]) -> tuple[Estimate, ...]:
    def mean(name: str, values: list[float], unit: str) -> Estimate:
        return mean_estimate(
            name,
            values,
            unit=unit,
            n_unit="problems",
        )

    return (
        mean("steps", [float(len(s.chain.steps)) for s in solved], "steps"),
        mean("flops_last", [s.chain.cost.last_position for s in solved], "operations"),
        mean("flops_every", [s.chain.cost.every_position for s in solved], "operations"),
        mean("seconds", [s.seconds for s in solved], "seconds"),
    )


def _accuracy_table(name: str, *found: Estimate) -> Table:
    rows = [
        {"who": name if e.name == "accuracy" else e.name, "accuracy": e.value}
        | {"low": e.low, "high": e.high}
        for e in found
    ]
    return Table.from_rows(
        rows,
        {
            "who": Column(help="The reasoner, the commonest answer, or guessing."),
            "accuracy": Column("proportion", "Share of problems right.", "low", "high"),
        },
    )


def _shown(solved: Sequence[Solved]) -> Table:
    """The first chains as a grid: what each step says and how likely its tokens are."""
    names = ["problem", "step", "text", "logprob", "stop"]
    return step_table(solved[:SHOWN_PROBLEMS], most_vectors=0).pick(names)


def _notes(solved: Sequence[Solved], asked: int, accuracy: Estimate) -> tuple[Note, ...]:
    notes = []
    if len(solved) < asked:
        notes.append(Note(f"stopped after {len(solved)} of {asked} problems", "warning", "stopped"))
    if len(solved) < FEW:
        notes.append(Note(f"only {len(solved)} problems", "warning", "few-problems"))
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


def _views(tables: dict[str, Table]) -> tuple[View, ...]:
    views: list[View] = [
        Bars(title="Accuracy beside its baselines", table="accuracy", x="who", y="accuracy"),
        Bars(title="Operations by stage", table="costs", x="stage", y="flops_last"),
    ]
    if tables["shown"]["logprob"].notna().any():
        views.append(
            Heatmap(
                title="Chains: what each step says",
                table="shown",
                row="problem",
                column="step",
                value="logprob",
                text="text",
            )
        )
    if "path" in tables:
        title = "The latent path on its plane of greatest variance"
        views.append(Points(title=title, table="path", x="x", y="y", color="step", label="text"))
    return tuple(views)


def _most_vectors(solved: Sequence[Solved]) -> int:
    widths = [len(s.vector) for one in solved for s in one.chain.steps if s.vector is not None]
    return MOST_VECTOR_NUMBERS // max(widths) if widths else 0


def _words(accuracy: Estimate) -> str:
    if accuracy.value is None:
        return "an unknown share"
    if accuracy.low is None or accuracy.high is None:
        return f"{accuracy.value:.1%}"
    return f"{accuracy.value:.1%} [{accuracy.low:.1%}, {accuracy.high:.1%}]"


def _total(costs: Table, column: str) -> float:
    return float(costs[column].iloc[-1])


def _million(operations: float) -> str:
    return f"{operations / 1e6:.3g}"
