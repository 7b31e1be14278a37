"""One problem that a reasoner has worked on."""

from dataclasses import dataclass

from workbench.result.chain import Chain
from workbench.sampling.evaluation import Verdict
from workbench.sampling.task import Problem


@dataclass(frozen=True, kw_only=True, eq=False)
class Solved:
    """A problem with its chain, and the verdict on the answer read from it.

    `n_choices` is the number of answers a guesser would choose from, 0 where it is open.
    """

    problem: Problem
    chain: Chain
    verdict: Verdict
    seconds: float
    n_choices: int = 0

    @property
    def answer(self) -> str | None:
        """The answer as read, None where there is none or the chain is not finished."""
        return self.verdict.answer

    @property
    def is_correct(self) -> bool:
        """Whether the answer is right."""
        return self.verdict.is_correct

    @property
    def group(self) -> str:
        """What the problem shares with others, by which intervals are clustered."""
        return str(self.problem.fields.get("group") or self.problem.id)
