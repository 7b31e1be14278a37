"""Answers to problems kept from training, by the writer and by every ablation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from reasoning.coconut_chain import CoconutChain
from reasoning.token_chain import written_chains
from workbench.latent.thoughts import Fed
from workbench.methods.contracts import Context, Prompt
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.result.chain import Chain
from workbench.sampling.evaluation import judge
from workbench.training.lines import Lines
from workbench.training.splits import Splits

_BATCH = 64

Solve = Callable[[Sequence[Prompt], Sequence[int]], Sequence[Chain]]


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Verdicts and costs of one way of answering, problem by problem.

    `operations` are counted with the vocabulary head at the last position only.
    """

    name: str
    right: tuple[bool, ...]
    operations: tuple[float, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluator:
    """Asks every way of answering the same problems, in at most so many tokens."""

    splits: Splits
    context: Context
    tokens: int

    def writer(self, model: Model, lead: Sequence[int]) -> list[Evaluated]:
        """Evaluate the chain in words, and the answer at once after the words that ask for it."""
        lines = Lines(model.tokenizer)

        def chains(start: Sequence[int]) -> Solve:
            def solve(prompts: Sequence[Prompt], seeds: Sequence[int]) -> Sequence[Chain]:
                prompted = [
                    replace(p, ids=(*lines.question(p.question), *start), stop_ids=(lines.end,))
                    for p in prompts
                ]
                greedy, limit = Sampling(temperature=0.0), self.tokens
                found = written_chains(model, prompted, policy=greedy, limit=limit, seeds=seeds)
                given = lines.text(start) if start else ""
                return [replace(c, response=f"{given}{c.response}") for c in found]

            return solve

        return [self._evaluate("cot", chains(())), self._evaluate("no-cot", chains(tuple(lead)))]

    def ablation(self, name: str, model: Model, folder: Path) -> list[Evaluated]:
        """Evaluate an ablation, and what is left of it when its thoughts are replaced."""
        fed: tuple[Fed, ...] = get_args(Fed) if name == "coconut" else ("state",)
        found = []
        for what in fed:
            reasoner = CoconutChain(checkpoint=str(folder), fed=what, tokens=self.tokens)

            def solve(
                prompts: Sequence[Prompt], seeds: Sequence[int], by: CoconutChain = reasoner
            ) -> Sequence[Chain]:
                return by.solve(model, prompts, seeds=seeds, context=self.context)

            title = name if what == "state" else f"{name}, {what}"
            found.append(self._evaluate(title, solve))
        return found

    def _evaluate(self, name: str, solve: Solve) -> Evaluated:
        problems = self.splits.evaluated
        chains: list[Chain] = []
        for at in range(0, len(problems), _BATCH):
            some = problems[at : at + _BATCH]
            prompts = [Prompt(question=p.question) for p in some]
            chains += solve(prompts, range(at, at + len(some)))
            self.context.progress(len(chains), len(problems), f"{name} problems")
        return Evaluated(
            name=name,
            right=tuple(
                judge(self.splits.task, p, c.response, is_cut=not c.is_finished).is_correct
                for p, c in zip(problems, chains, strict=True)
            ),
            operations=tuple(c.cost.last_position for c in chains),
            positions=tuple(c.cost.n_tokens for c in chains),
        )
