"""A response judged: its answer, by which grader and convention, and whether it is right."""

from dataclasses import dataclass

from workbench.sampling.conventions import UNFINISHED, Found
from workbench.sampling.task import FindsAnswers, Problem, Task


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a response answers and whether that is right.

    `grader` and `convention` name what read it. `is_finished` is False where the response was
    cut off before its answer was complete: it then has no answer and is not right.
    """

    answer: str | None
    is_correct: bool
    grader: str
    convention: str
    is_finished: bool = True


def judge(task: Task, problem: Problem, response: str, *, is_cut: bool = False) -> Verdict:
    """Judge a response to a problem; `is_cut` tells that a limit ended it.

    A response that a limit ended has no answer, because its last words may be cut or may not be
    the last: "#### 12" may have become "#### 123". It has one only where its own end came
    before the limit: the writer went on to a next question, or the line of a `####` mark is
    complete.
    """
    found = find(task, response)
    if is_cut and not (found.is_closed and found.answer is not None):
        return Verdict(
            answer=None,
            is_correct=False,
            grader=found.grader,
            convention=UNFINISHED,
            is_finished=False,
        )
    return Verdict(
        answer=found.answer,
        is_correct=bool(task.is_correct(problem, response)),
        grader=found.grader,
        convention=found.convention,
    )


def find(task: Task, response: str) -> Found:
    """Return the answer of a response; a task without `find` names its class as the grader."""
    if isinstance(task, FindsAnswers):
        return task.find(response)
    return Found(answer=task.extract(response), grader=type(task).__name__)
