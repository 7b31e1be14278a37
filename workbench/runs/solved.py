"""One problem that a reasoner has worked on."""

from dataclasses import dataclass

from workbench.result.chain import Chain
from workbench.sampling.task import Problem


@dataclass(frozen=True, kw_only=True, eq=False)
class Solved:
    """A problem with its chain, the answer read from it, and whether that is right.

    `n_choices` is the number of answers a guesser would choose from, 0 where it is open.
    """

    problem: Problem
    chain: Chain
    answer: str | None
    is_correct: bool
    seconds: float
    n_choices: int = 0

    @property
    def group(self) -> str:
        """What the problem shares with others, by which intervals are clustered."""
        return str(self.problem.fields.get("group") or self.problem.id)
