"""How the reasoners of a trained pipeline do on problems kept from training."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reasoning.sentence_chain import SentenceContinuous, SentenceDiscretized
from reasoning.token_chain import AnswerAtOnce, ChainOfThought
from workbench.methods.contracts import Context, Prompt, Reasoner
from workbench.model.model import Model
from workbench.result.estimate import Estimate
from workbench.result.intervals import grouped_proportion_estimate
from workbench.sampling.evaluation import judge
from workbench.sampling.task import Problem
from workbench.training.lines import Lines
from workbench.training.splits import Splits

_BATCH = 64


def reasoners(folder: Path) -> Mapping[str, Reasoner]:
    """Return the four reasoners of a pipeline's folder by name."""
    place = str(folder)
    return {
        "no-cot": AnswerAtOnce(checkpoint=place),
        "cot": ChainOfThought(checkpoint=place),
        "sentence-discretized": SentenceDiscretized(checkpoint=place),
        "sentence-continuous": SentenceContinuous(checkpoint=place, decode="answer"),
    }


def held_out_accuracies(
    model: Model, by_name: Mapping[str, Reasoner], splits: Splits, context: Context
) -> tuple[Estimate, ...]:
    """Return the accuracy of each reasoner, the majority answer as its control."""
    problems, lines = splits.evaluated, Lines(model.tokenizer)
    majority = Counter(p.answer for p in problems).most_common(1)[0][1] / len(problems)
    found = []
    for name, one in by_name.items():
        right: list[float] = []
        for at in range(0, len(problems), _BATCH):
            some = problems[at : at + _BATCH]
            prompts = [
                Prompt(
                    question=p.question,
                    ids=tuple(lines.question(p.question)),
                    stop_ids=(lines.end,),
                )
                for p in some
            ]
            seeds = list(range(at, at + len(some)))
            chains = one.solve(model, prompts, seeds=seeds, context=context)
            right += [
                float(judge(splits.task, p, c.response, is_cut=not c.is_finished).is_correct)
                for p, c in zip(some, chains, strict=True)
            ]
            context.progress(len(right), len(problems), f"{name} problems")
        found.append(_accuracy(name, right, problems, majority))
    return tuple(found)


def _accuracy(
    name: str,
    right: Sequence[float],
    problems: Sequence[Problem],
    majority: float,
) -> Estimate:
    estimate = grouped_proportion_estimate(
        name,
        list(right),
        [str(p.fields.get("group") or p.id) for p in problems],
        n_unit="problems",
    )
    return replace(estimate, control=majority, control_name="majority answer")
