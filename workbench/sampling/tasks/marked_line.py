"""What generated tasks share whose answer stands alone on the line of ###."""

from collections.abc import Callable, Sequence

from workbench.errors import TooLittleData
from workbench.sampling.conventions import SHORT_HASH, Found, hash_line
from workbench.sampling.sentences import ANSWER_MARK
from workbench.sampling.split import Part, in_part
from workbench.sampling.task import Problem

_TRIES = 200


class MarkedLine:
    """Bare questions, and answers compared word by word."""

    is_chat = True
    answer_lead = ANSWER_MARK

    def prompt(self, problem: Problem) -> str:
        """Return the bare question."""
        return problem.question

    def is_correct(self, problem: Problem, response: str) -> bool:
        """Whether the marked words are those of the answer."""
        return self.extract(response) == problem.answer

    def extract(self, response: str) -> str | None:
        """Return what stands behind the first ###."""
        return self.find(response).answer

    def find(self, response: str) -> Found:
        """Return what stands behind the first ###, with the convention."""
        line, line_ends = hash_line(response, ANSWER_MARK) or ("", False)
        answer = line.strip() or None
        return Found(answer=answer, convention=SHORT_HASH, grader="words", is_closed=line_ends)


def different(
    draw: Callable[[], Problem], limit: int, part: Part, what: str = "problems"
) -> Sequence[Problem]:
    """Draw so many different problems of a part.

    Raises:
        TooLittleData: there are not so many.
    """
    found: dict[str, Problem] = {}
    in_vain = 0
    # A task with few problems is known to be exhausted long before so many draws as were asked for.
    while len(found) < limit and in_vain < _TRIES * (len(found) + 10):
        problem = draw()
        is_new = in_part(problem.question, part) and problem.question not in found
        in_vain = 0 if is_new else in_vain + 1
        if is_new:
            found[problem.question] = problem
    if len(found) < limit:
        raise TooLittleData(
            f"found {len(found)} different {what}; {limit} were asked for", hint="ask for fewer"
        )
    return list(found.values())
