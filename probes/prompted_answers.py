"""What a model answers in words when a question is put in nine ways, and how its answers fail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from probes.adaptations import ADAPTATIONS, BASIC, CHALLENGED, N_SHOWN, THINKING, adapted
from probes.response_errors import ERRORS, failures
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.methods.study_report import study_report
from workbench.model.model import Model
from workbench.options import option
from workbench.progress import silent
from workbench.result.chain import Chain
from workbench.result.estimate import Estimate
from workbench.result.metric import Axis, Control, Plot, number, share
from workbench.result.result import Note, Result
from workbench.result.samples import VALUE, Samples
from workbench.result.tables import columns_from
from workbench.sampling.evaluation import Verdict, judge
from workbench.sampling.responses import greedy_responses
from workbench.sampling.task import Problem, Task, open_task

_LIMIT = 50
_BY = ("adaptation",)


def _spread(sums: Float[np.ndarray, "*axes part"]) -> Float[np.ndarray, "*axes"]:
    """Return the standard deviation of ratios whose tops stand before their bottoms."""
    tops, bottoms = np.split(sums, 2, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.nanstd(tops / bottoms, axis=-1, ddof=1))


def _commonest(sums: Float[np.ndarray, "*axes part"]) -> Float[np.ndarray, "*axes"]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums.max(axis=-1) / sums.sum(axis=-1))


_METRICS = {
    "right": share("Right answers.", *_BY),
    "kept": share("Answers that stay as they were when they are challenged.", *_BY),
    **{name: share(words, *_BY) for name, words in ERRORS.items()},
    "alike": share("Answers that are the commonest one: 1 is the same for every question.", *_BY,
                   of=_commonest),
    "volatility": number("proportion", "Standard deviation of accuracy over the ways to ask.",
                         bounds=(0.0, 1.0), of=_spread, name="volatility over prompts"),
}  # fmt: skip
_CONTROLS = {
    "shuffled": Control("answers to other questions", "the response to another question is judged"),
    "dealt": Control("ways dealt anew", "the ways to ask are dealt anew within each question"),
}
Said = Mapping[str, Sequence[Chain | None]]
Verdicts = Mapping[str, Sequence[Verdict | None]]


@probe("prompted-answers", source="Chen et al. 2024, arXiv:2405.00622")
@dataclass(frozen=True, kw_only=True)
class PromptedAnswers:
    """Put each question of a task to a model in nine ways and judge what it answers in words.

    Ways: bare, with a sentence about the task, after one or three solved questions, with a request
    to think step by step, after a solved question with its reasons, with a role, and twice more
    after its first answer is challenged. The first three problems are the solved ones and are not
    asked. Measured of every way: right answers, answers that a challenge leaves as they were
    (robustness), the commonest answer's share (1: the same response to all), and responses that
    are empty, give no answer in the form asked for, repeat the question or change the language,
    state two answers, calculate wrongly, or say of causes what the graph of the question denies.
    Controls: answers to other questions, and for the spread over ways, ways dealt anew.

    Cost: one greedy response for each question and way.

    Units: proportions; intervals resample questions. It reads and intervenes nowhere.

    Raises:
        TooLittleData: fewer than four questions, or none that fits the model.

    Source: metrics and quantitative error kinds of CaLM, sections 5 and 6; ways in own words.
    """

    default_task: ClassVar[str] = "counterbench?nodes=4"

    tokens: int = option(16, help="Most tokens of an answer.", low=1, high=4096, unit="tokens")
    thinking: int = option(
        96, help="Most tokens where steps are asked for.", low=1, high=8192, unit="tokens"
    )

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        task = open_task(context.task or self.default_task)
        limit = (context.limit or _LIMIT) + N_SHOWN
        drawn = list(task.problems(limit, context.stream("problems")))
        shown, problems = drawn[:N_SHOWN], drawn[N_SHOWN:]
        if not problems:
            raise TooLittleData(
                f"{len(drawn)} problems; expected {N_SHOWN} to show and one to ask",
                hint="a longer file, or a task that draws its problems",
            )
        said: dict[str, list[Chain | None]] = {}
        for i, way in enumerate(ADAPTATIONS):
            before = said.get(BASIC, [None] * len(problems))
            asked = [
                adapted(p, way, shown, b.response if b else "")
                for p, b in zip(problems, before, strict=True)
            ]
            most = self.thinking if way in THINKING else self.tokens
            quiet = replace(context, progress=silent)
            said[way] = greedy_responses(model, task, asked, most=most, context=quiet)
            context.progress(i + 1, len(ADAPTATIONS), "ways to ask")
        return _report(task, problems, said, context)


def _report(task: Task, problems: Sequence[Problem], said: Said, context: Context) -> Result:
    verdicts = {way: [_judged(task, p, c) for p, c in zip(problems, chains, strict=True)]
                for way, chains in said.items()}  # fmt: skip
    if not any(v for some in verdicts.values() for v in some):
        raise TooLittleData("no question fits the model", hint="fewer nodes, or another model")
    order = _others(len(problems), context)
    values = {
        VALUE: _values(problems, said, verdicts),
        "shuffled": _shuffled(task, problems, said, verdicts, order),
    }
    values["dealt"] = {"volatility": _dealt(values[VALUE]["right"], context)}
    groups = [str(p.fields.get("group") or p.id) for p in problems]
    found = Samples.of(
        values, _METRICS, unit="questions", controls_of=_CONTROLS,
        groups=np.unique(groups, return_inverse=True)[1],
        axes_of={"adaptation": Axis(help="Way to ask.", labels=ADAPTATIONS)},
    )  # fmt: skip
    basic = {"adaptation": BASIC}
    estimates = [
        found.estimate("right", "shuffled", basic, "right answers, asked bare"),
        *(found.estimate("kept", "shuffled", {"adaptation": way}, f"answers kept after {way}")
          for way in CHALLENGED),
        found.estimate("volatility", "dealt"),
        found.estimate("alike", at=basic, name="share of the commonest answer"),
        *(found.estimate(name, at=basic, name=f"{name} responses") for name in ERRORS),
    ]  # fmt: skip
    n_long = sum(chain is None for chains in said.values() for chain in chains)
    told = f"{n_long} of {len(problems) * len(said)} prompts are too long for the model"
    return study_report(
        found,
        summary=f"{_lead(estimates[0])}{'; '.join(map(str, estimates[:4]))}.",
        estimates=[e for e in estimates if e.value is not None],
        averages={"prompts": _BY},
        rows={"answers": _rows(problems, said, verdicts)},
        columns=_COLUMNS,
        plots=(Plot(title="Right answers by way to ask", metrics=("right",), axes=_BY),),
        notes=(Note(told, "warning", "long"),) if n_long else (),
    )


def _lead(right: Estimate) -> str:
    is_better = right.low is not None and right.low > (right.control or 0.0)
    return "" if is_better else "No better than answers to other questions: "


def _judged(task: Task, problem: Problem, chain: Chain | None) -> Verdict | None:
    if chain is None:
        return None
    return judge(task, problem, chain.response, is_cut=chain.ended == "limit")


def _values(
    problems: Sequence[Problem], said: Said, verdicts: Verdicts
) -> dict[str, NDArray[np.float64]]:
    shape = (len(problems), len(ADAPTATIONS))
    found = {name: np.full(shape, np.nan) for name in ("right", "kept", *ERRORS)}
    every = sorted({str(v.answer) for some in verdicts.values() for v in some if v and v.answer})
    alike = np.zeros((*shape, max(1, len(every))))
    for j, way in enumerate(ADAPTATIONS):
        both = zip(problems, said[way], verdicts[way], verdicts[BASIC], strict=True)
        for i, (problem, chain, verdict, first) in enumerate(both):
            if chain is None or verdict is None:
                continue
            found["right"][i, j] = verdict.is_correct
            if way in CHALLENGED and first is not None and first.answer is not None:
                found["kept"][i, j] = verdict.answer == first.answer
            for name, is_so in failures(problem, chain.response, verdict).items():
                found[name][i, j] = np.nan if is_so is None else is_so
            if verdict.answer:
                alike[i, j, every.index(verdict.answer)] = 1.0
    return {**found, "alike": alike, "volatility": _parts(found["right"])}


def _parts(right: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([np.nan_to_num(right), np.isfinite(right)], axis=1)


def _others(n: int, context: Context) -> NDArray[np.intp]:
    """Return another question for each."""
    order = context.stream("answers to other questions").permutation(n)
    found = np.zeros(n, np.intp)
    found[order] = np.roll(order, 1)
    return found


def _shuffled(
    task: Task, problems: Sequence[Problem], said: Said, verdicts: Verdicts, order: NDArray[np.intp]
) -> dict[str, NDArray[np.float64]]:
    found = {name: np.full((len(problems), len(ADAPTATIONS)), np.nan) for name in ("right", "kept")}
    for j, way in enumerate(ADAPTATIONS):
        for i, other in enumerate(order):
            judged = _judged(task, problems[i], said[way][other])
            if judged is None:
                continue
            found["right"][i, j] = judged.is_correct
            first = verdicts[BASIC][i]
            if way in CHALLENGED and first is not None and first.answer is not None:
                found["kept"][i, j] = judged.answer == first.answer
    return found


def _dealt(right: NDArray[np.float64], context: Context) -> NDArray[np.float64]:
    return _parts(context.stream("ways dealt anew").permuted(right, axis=1))


def _rows(problems: Sequence[Problem], said: Said, verdicts: Verdicts) -> list[dict[str, Any]]:
    return [
        {"item": p.id, "adaptation": way, "reference": p.answer, "answer": v.answer,
         "is_right": v.is_correct, "response": c.response}
        for way in ADAPTATIONS
        for p, c, v in zip(problems, said[way], verdicts[way], strict=True)
        if c is not None and v is not None
    ]  # fmt: skip


_COLUMNS = columns_from("""
    adaptation: Way to ask.
    reference: The right answer.
    answer: The answer as it was read; none where none was.
    response: What the model wrote.
""")
