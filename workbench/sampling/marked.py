"""Answers that stand after a mark, read strictly."""

from workbench.sampling.numerals import whole_number
from workbench.sampling.spellings import one_spelling
from workbench.sampling.task import Problem

MARK = "####"


def written_response(problem: Problem, mark: str = MARK) -> str:
    """Return the steps of a problem and its marked answer, as a text that follows the prompt."""
    return f" {'; '.join(problem.steps)} {mark} {problem.answer}"


def marked_answer(response: str, mark: str = MARK) -> str | None:
    """Return what stands after the mark, None unless the mark occurs exactly once.

    Source: Yue et al. 2025, arXiv:2505.18454, reward; theirs cuts numbers at commas.
    """
    parts = response.split(mark)
    # A longer run of the mark's last character is not this mark.
    if len(parts) != 2 or parts[1].startswith(mark[-1]):
        return None
    return parts[1].strip()


def is_marked_right(response: str, reference: str, mark: str = MARK) -> bool:
    """Whether the marked answer equals the reference: as a number if that is one.

    A number may carry commas, a sign, a currency mark and a full stop, and nothing else. All
    spellings of `NumberGrader` count as the number.
    """
    found = marked_answer(response, mark)
    if not found:
        return False
    wanted = whole_number(one_spelling(reference))
    if wanted is None:
        return found == reference.strip()
    return whole_number(one_spelling(found)) == wanted
