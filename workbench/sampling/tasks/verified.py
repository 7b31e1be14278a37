"""Tasks whose responses one grader reads."""

from abc import ABC, abstractmethod

from workbench.sampling.conventions import Found
from workbench.sampling.grading import Grader
from workbench.sampling.task import Problem


class Verified(ABC):
    """A task whose `verifier` finds the answer of a response and compares it."""

    @property
    @abstractmethod
    def verifier(self) -> Grader:
        """What reads a response and compares its answer."""

    def is_correct(self, problem: Problem, response: str) -> bool:
        """Whether the answer of the response is the right one."""
        return self.verifier.is_correct(response, problem.answer)

    def extract(self, response: str) -> str | None:
        """Return the answer of the response."""
        return self.verifier.extract(response)

    def find(self, response: str) -> Found:
        """Return the answer of the response with the convention it was read by."""
        return self.verifier.find(response)
