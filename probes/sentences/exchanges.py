"""States exchanged between chains: does the answer follow, and what does the next step hold?"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from probes.sentences.chains import MOST_STEPS, Exchanged, Thought, think
from probes.sentences.grid import RANDOM, partners
from probes.sentences.nats import Teller
from probes.sentences.settings import Settings
from workbench.methods.contracts import Context
from workbench.result.estimate import Estimate
from workbench.result.metric import Control, number, share
from workbench.result.row_samples import samples_of
from workbench.result.tables import columns_from
from workbench.training.sentence_model import SentenceModel

AT_ONCE = 64
_ANSWERS = {
    "is_changed": share("Answers.", name="answer changes with an exchanged state"),
    "is_donors": share("Answers.", name="answer becomes the other chain's"),
    "saved_after": number(
        "nats", "Saved of the chain's next sentence.", name="nats of its next step, state exchanged"
    ),
    "donors_saved": number(
        "nats", "Saved of the other chain's next sentence.", name="nats of the other's next step"
    ),
}
EXCHANGES = columns_from("""
    problem: Number of the problem, from 0.
    by: What was put in the place of the state.
    answer: Answer of the chain by itself.
    donor_answer: Answer of the chain that gave the state.
    answer_after: Answer of the chain that went on from the exchanged state.
    is_changed: Whether the answer is another one.
    is_donors: Whether it is that of the other chain.
    saved (nats): What the next vector of the chain by itself saves of its sentence.
    saved_after (nats): What the next vector saves of that sentence after the exchange.
    donors_saved (nats): What it then saves of the other chain's next sentence.
""")


def exchange(
    trained: SentenceModel,
    teller: Teller,
    questions: Sequence[str],
    settings: Settings,
    context: Context,
) -> list[dict[str, Any]]:
    """Exchange the state of every step but the last, one at a time, and let the chain go on."""
    thoughts = think(trained, questions, steps=MOST_STEPS, limit=settings.limit)
    donors = partners(range(len(questions)), context.stream("sentence lens donors"))
    draw = context.stream("sentence lens exchanges")
    asked: list[tuple[int, int, int, str]] = []
    exchanged: dict[int, tuple[int, Tensor]] = {}
    for i, thought in enumerate(thoughts):
        theirs = thoughts[donors[i]].vectors
        for step in range(min(len(thought.vectors) - 1, len(theirs)) if donors[i] != i else 0):
            noise = torch.from_numpy(draw.standard_normal(theirs.shape[1])).to(theirs)
            random = noise * (theirs[step].norm() / noise.norm())
            for by, vector in (("another chain's state", theirs[step]), (RANDOM, random)):
                exchanged[len(asked)] = (step, vector)
                asked.append((i, step, donors[i], by))
    after = _after(trained, [questions[a[0]] for a in asked], exchanged, settings, context)
    return [
        {
            "problem": i,
            "step": step + 1,
            "by": by,
            "answer": thoughts[i].answer,
            "donor_answer": thoughts[j].answer,
            "answer_after": found.answer,
            "is_changed": found.answer != thoughts[i].answer,
            "is_donors": found.answer == thoughts[j].answer,
            "saved": teller.of_step(thoughts[i], thoughts[i], step + 1, i),
            "saved_after": teller.of_step(found, thoughts[i], step + 1, i),
            "donors_saved": teller.of_step(found, thoughts[j], step + 1, j),
        }
        for (i, step, j, by), found in zip(asked, after, strict=True)
    ]


def _after(
    trained: SentenceModel,
    questions: Sequence[str],
    exchanged: Exchanged,
    settings: Settings,
    context: Context,
) -> list[Thought]:
    found: list[Thought] = []
    for start in range(0, len(questions), AT_ONCE):
        context.progress(start, len(questions), "chains with an exchanged state")
        some = questions[start : start + AT_ONCE]
        mine = {row: exchanged[start + row] for row in range(len(some))}
        found += think(trained, some, steps=MOST_STEPS, limit=settings.limit, exchanged=mine)
    return found


def exchange_estimates(exchanges: Sequence[Mapping[str, Any]]) -> tuple[Estimate, ...]:
    """Return how often the answer changes, and how often it becomes that of the other chain."""
    rows = [
        {**row, "is_donors": row["is_donors"] if row["answer"] != row["donor_answer"] else None}
        for row in exchanges
    ]
    found = samples_of(
        rows,
        _ANSWERS,
        by=("problem", "step"),
        group="problem",
        kind="by",
        unit="exchanges",
        controls_of={RANDOM: Control("random vector of the same length")},
    )
    return tuple(found.estimate(name, RANDOM) for name in found.metrics)
