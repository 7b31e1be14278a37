"""Wrong answers to questions that the model gets right some of the time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from probes.critical.rollouts import GradedRollouts, Journal
from workbench.model.model import Model
from workbench.sampling.branch import Branch
from workbench.sampling.evaluation import judge
from workbench.sampling.prompting import prompt_ids, stop_ids
from workbench.sampling.rollout import RolloutOptions, Trajectory
from workbench.sampling.task import Problem, Task


@dataclass(frozen=True, kw_only=True)
class WrongAnswer:
    """One wrong response to a problem, as token ids, and how often others were right.

    `seconds` is what one response took to draw, None if all came from the journal.
    """

    problem: Problem
    prompt: tuple[int, ...]
    response: tuple[int, ...]
    text: str
    wins: int
    draws: int
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class RolloutSetup:
    """A model, the task it is asked, and how its continuations are drawn."""

    model: Model
    task: Task
    options: RolloutOptions

    def rollouts(
        self, problem: Problem, prompt: Sequence[int], response: Sequence[int], journal: Journal
    ) -> GradedRollouts:
        """Join one trajectory with the verifier of its problem."""
        return GradedRollouts(
            trajectory=Trajectory(self.model, prompt, response, self.options),
            stop_ids=stop_ids(self.model, self.task),
            decode=self._decode,
            grade=lambda text, is_cut: judge(self.task, problem, text, is_cut=is_cut).is_correct,
            journal=journal,
        )

    def wrong_answer(self, problem: Problem, *, draws: int, journal: Journal) -> WrongAnswer | None:
        """Draw responses and return the first wrong one that ended by itself, if any is wrong.

        A response cut off at the limit is taken only when no wrong one ended by itself.
        """
        clock = time.perf_counter()
        prompt = prompt_ids(self.model, self.task, problem)
        rollouts = self.rollouts(problem, prompt, (), journal)
        found = rollouts.draw([Branch(position=0, draw=k) for k in range(draws)]).values()
        wrong = sorted(
            (o for o in found if not o.success and len(o.tokens) > 1), key=lambda o: not o.stopped
        )
        if not wrong:
            return None
        response = tuple(t for t in wrong[0].tokens if t not in rollouts.stop_ids)
        return WrongAnswer(
            problem=problem,
            prompt=prompt,
            response=response,
            text=rollouts.decode(response),
            wins=sum(o.success for o in found),
            draws=draws,
            seconds=(time.perf_counter() - clock) / rollouts.fresh if rollouts.fresh else None,
        )

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.model.tokenizer.decode(list(ids), skip_special_tokens=True))
