"""The token that decided a wrong answer, found by rollouts."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from probes.critical.branches import alternatives
from probes.critical.cost import expected_seconds, in_words
from probes.critical.drawing import DrawingOptions
from probes.critical.report import TrajectoryResult, report
from probes.critical.rollouts import Journal
from probes.critical.sample import RolloutSetup, WrongAnswer
from probes.critical.search import Forced, Search, force_alternatives, locate
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example, Stopped
from workbench.methods.registry import probe
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.options import option
from workbench.result.result import Result
from workbench.sampling.rollout import RolloutOptions
from workbench.sampling.task import Problem, Task, open_task


@probe("critical-tokens", source="Lin et al. 2025, arXiv:2411.19943")
@dataclass(frozen=True, kw_only=True)
class CriticalTokens(DrawingOptions):
    """Find the token of a wrong response after which hardly any continuation is right.

    Continuations are drawn from prefixes of the response and graded. Modes: `exhaustive` draws
    at every position; `paper-identical` scans backwards with curtailment and reaches the same
    decision; `screening` settles positions with a sequential test and confirms the winner and
    its neighbours with all draws; `off-path` draws only branches that leave the response and
    gives the whole success curve.

    Units: success is a probability, entropy in nats, cost in draws and tokens.

    Source: Lin et al. 2025, sections 2-3. Prefixes are kept as token ids; no answer counts as
    equal to its hundredth; intervals, the sequential test and the recursion are ours.
    """

    default_task: ClassVar[str] = "arithmetic?steps=1&largest=30"

    mode: Literal["screening", "paper-identical", "exhaustive", "off-path"] = option(
        "screening", help="How positions are examined."
    )
    alternatives: bool = option(True, help="Draw with the critical token forbidden.")

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        """Find wrong responses to the task's questions and the critical token of each.

        Raises:
            TooLittleData: no question yields a wrong response within the success bounds.
            Stopped: the user stopped after some trajectories.
        """
        return self.search(model, open_task(context.task or self.default_task), context)

    def search(self, model: Model, task: Task, context: Context) -> Result:
        """Do the same on a task that is open already."""
        wanted = context.limit or 5
        found: list[TrajectoryResult] = []
        try:
            answers = self._wrong_answers(model, task, wanted, context)
            label = "trajectories" + in_words(
                expected_seconds(
                    answers, mode=self.mode, draws=self.draws, alternatives=self.alternatives
                )
            )
            for answer in answers:
                context.progress(len(found), len(answers), label)
                found.append(self._examine(model, task, answer, context))
        except KeyboardInterrupt as stop:
            if not found:
                raise
            raise Stopped(report(found, model, self.mode, self.draws)) from stop
        if not found:
            raise TooLittleData(
                f"no question of {context.task} was answered wrongly within success rates "
                f"{self.min_success:g} to {self.max_success:g}",
                hint="widen --min-success and --max-success, or raise --temperature",
            )
        context.progress(len(found), len(found), label)
        return report(found, model, self.mode, self.draws)

    def _setup(self, model: Model, task: Task, key: str, context: Context) -> RolloutSetup:
        options = RolloutOptions(
            policy=Sampling(temperature=self.temperature, top_p=self.top_p),
            limit=self.new_tokens,
            rows=self.rows,
            seed=context.seed,
            key=key,
        )
        return RolloutSetup(model=model, task=task, options=options)

    def _wrong_answers(
        self, model: Model, task: Task, wanted: int, context: Context
    ) -> Sequence[WrongAnswer]:
        kept: list[WrongAnswer] = []
        for problem in task.problems(20 * wanted, context.stream("problems")):
            setup = self._setup(model, task, f"sample {problem.id}", context)
            answer = setup.wrong_answer(
                problem, draws=self.samples, journal=_journal(context, problem, "sample")
            )
            if answer is None or not self._in_bounds(answer):
                continue
            kept.append(answer)
            context.progress(len(kept), wanted, "wrong responses")
            if len(kept) == wanted:
                break
        return kept

    def _in_bounds(self, answer: WrongAnswer) -> bool:
        return self.min_success <= answer.wins / answer.draws <= self.max_success

    def _examine(
        self, model: Model, task: Task, answer: WrongAnswer, context: Context
    ) -> TrajectoryResult:
        clock = time.perf_counter()
        problem = answer.problem
        setup = self._setup(model, task, problem.id, context)
        rollouts = setup.rollouts(
            problem, answer.prompt, answer.response, _journal(context, problem, "rollouts")
        )
        search: Search = locate(
            rollouts, mode=self.mode, draws=self.draws, generator=context.stream(problem.id)
        )
        forced: tuple[Forced, ...] = ()
        if self.alternatives and search.decision.position is not None:
            forced = force_alternatives(
                rollouts,
                search.decision.position,
                draws=self.draws,
                generator=context.stream(f"control {problem.id}"),
            )
        return TrajectoryResult(
            answer=answer,
            extracted=task.extract(answer.text),
            search=search,
            forced=forced,
            branches=alternatives(rollouts),
            new_tokens=rollouts.new_tokens,
            seconds=time.perf_counter() - clock,
        )


def _journal(context: Context, problem: Problem, kind: str) -> Journal:
    if context.scratch is None:
        return Journal(None)
    digest = hashlib.sha256(problem.id.encode()).hexdigest()[:16]
    return Journal(Path(context.scratch) / f"{digest}-{kind}.jsonl")
