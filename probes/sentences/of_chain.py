"""The lens on a chain of sentence vectors: every block at every step, and exchanged states."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from probes.sentences.chains import MOST_STEPS, Exchanged, Thought, block_states, think
from probes.sentences.changes import (
    PLOT,
    STEPS,
    Changed,
    change_estimates,
    change_samples,
    change_step,
    step_rows,
)
from probes.sentences.grid import RANDOM, Reader, Way, partners
from probes.sentences.report import LensGrid, named
from probes.sentences.scores import Target
from probes.sentences.settings import Settings
from probes.sentences.tuned import fit_low_rank
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.result.estimate import Estimate
from workbench.result.metric import Control, share
from workbench.result.result import Note
from workbench.result.row_samples import samples_of
from workbench.result.tables import columns_from
from workbench.training.sentence_model import SentenceModel

_LEAST_FIT = 24
_AT_ONCE = 64
_EXCHANGED = 32
_ANSWERS = {
    "is_changed": share("Answers.", name="answer changes with an exchanged state"),
    "is_donors": share("Answers.", name="answer becomes the other chain's"),
}
EXCHANGES = columns_from("""
    problem: Number of the problem, from 0.
    by: What was put in the place of the state.
    answer: Answer of the chain by itself.
    donor_answer: Answer of the chain that gave the state.
    answer_after: Answer of the chain that went on from the exchanged state.
    is_changed: Whether the answer is another one.
    is_donors: Whether it is that of the other chain.
""")


def read_chains(
    trained: SentenceModel, examples: Sequence[Example], settings: Settings, context: Context
) -> LensGrid:
    """Run every question's chain, read the first steps, and exchange states between chains.

    Raises:
        TooLittleData: there is no question.
    """
    questions = [example.text for example in examples]
    if not questions:
        raise TooLittleData("no question was given", hint="--data FILE --field question")
    thoughts = _thoughts(trained, questions, settings, context)
    shown = _first(thoughts, settings.sentences)
    states = torch.cat([block_states(trained, questions[i], thoughts[i]) for i in shown]).cpu()
    layers = settings.layers(states.shape[1])
    targets, vectors = _targets([(i, thoughts[i]) for i in shown])
    rest = _first(thoughts[len(shown) :], settings.fitted)
    fit = [(questions[len(shown) + i], thoughts[len(shown) + i]) for i in rest]
    ways, best = _ways(trained, fit, layers, settings)
    with torch.no_grad():
        spoken = trained.latent.heads.p_out(vectors.to(trained.latent.network.device)).cpu()
    reader = Reader(
        writer=trained.codec,
        ways=ways,
        layers=layers,
        targets=spoken,
        limit=settings.limit,
        controls=settings.controls,
    )
    swap = partners([target.unit for target in targets], context.stream("sentence lens partners"))
    some = states[:, list(layers)]
    seen = LensGrid(
        **reader.read(some, swap, context),
        targets=targets,
        best=best,
        unit="steps",
        notes=(
            Note("the last layer of the raw way is what the chain itself says", code="last-layer"),
        ),
    )
    return _with_changes(seen, trained, questions[:_EXCHANGED], thoughts, settings, context)


def _with_changes(
    seen: LensGrid,
    trained: SentenceModel,
    questions: Sequence[str],
    thoughts: Sequence[Thought],
    settings: Settings,
    context: Context,
) -> LensGrid:
    """Add what became of the first chains with a state exchanged or a step changed."""
    exchanges = _exchanges(trained, questions, settings, context)
    changed = change_step(trained, questions, thoughts, settings, context)
    steps = step_rows(changed)
    return replace(
        seen,
        estimates=(*exchange_estimates(exchanges), *change_estimates(changed)),
        samples=change_samples(steps),
        averages={"propagation": PLOT.axes},
        rows={"exchanges": exchanges, "interventions": steps},
        columns={**EXCHANGES, **STEPS},
        notes=(*seen.notes, _what_was_forced(changed, settings)),
        plots=(PLOT,),
    )


def _what_was_forced(changed: Sequence[Changed], settings: Settings) -> Note:
    forced = [one for one in changed if one.wanted]
    written = sum(one.after.sentences[one.at] == one.wanted for one in forced)
    text = f"the sentence forced at step {settings.step} is written in {written} of {len(forced)}"
    if not changed:
        text = f"no chain goes on after step {settings.step}, so none was changed"
    return Note(text, code="forced")


def _thoughts(
    trained: SentenceModel, questions: Sequence[str], settings: Settings, context: Context
) -> list[Thought]:
    found: list[Thought] = []
    for start in range(0, len(questions), _AT_ONCE):
        context.progress(start, len(questions), "chains")
        some = questions[start : start + _AT_ONCE]
        found += think(trained, some, steps=MOST_STEPS, limit=settings.limit)
    context.progress(len(questions), len(questions), "chains")
    return found


def _first(thoughts: Sequence[Thought], steps: int) -> list[int]:
    """Return the first chains that hold so many steps together, one at least."""
    chosen: list[int] = []
    n = 0
    for i, thought in enumerate(thoughts):
        if chosen and n + len(thought.vectors) > steps:
            break
        chosen.append(i)
        n += len(thought.vectors)
    return chosen


def _targets(
    shown: Sequence[tuple[int, Thought]],
) -> tuple[list[Target], Float[Tensor, "n d_model"]]:
    targets = [
        Target(
            name=named(f"{i}.{step}", sentence),
            sentence=sentence,
            after=thought.sentences[step] if step < len(thought.sentences) else "",
            unit=i,
        )
        for i, thought in shown
        for step, sentence in enumerate(thought.sentences, start=1)
    ]
    return targets, torch.cat([thought.vectors for _, thought in shown]).float()


def _ways(
    trained: SentenceModel,
    fit: Sequence[tuple[str, Thought]],
    layers: Sequence[int],
    settings: Settings,
) -> tuple[dict[str, Way], dict[str, int]]:
    """Return the ways to read a block's output; all end in the projection the chain speaks by."""
    heads, network = trained.latent.heads, trained.latent.network
    final = layers[-1]

    def spoken(h: Tensor) -> Tensor:
        with torch.no_grad():
            out: Tensor = heads.p_out(h.to(network.device, network.dtype)).float().cpu()
        return out

    def normed(layer: int, h: Tensor) -> Tensor:
        with torch.no_grad():
            # The network itself norms what its last block puts out.
            return spoken(h if layer == final else network.norm(h.to(network.device)))

    ways: dict[str, Way] = {}
    if settings.raw:
        ways["raw"] = lambda _, h: spoken(h)
    if settings.normed:
        ways["normed"] = normed
    earlier = [layer for layer in layers if layer != final]
    best = dict.fromkeys(ways, earlier[-1] if earlier else final)
    if settings.tuned and sum(len(t.vectors) for _, t in fit) >= _LEAST_FIT:
        states = torch.cat([block_states(trained, q, t) for q, t in fit]).cpu()
        target = torch.cat([t.vectors for _, t in fit]).float().cpu()
        maps = {at: fit_low_rank(states[:, at], target, settings.rank) for at in layers}
        ways["tuned"] = lambda layer, h: spoken(maps[layer](h))
        best["tuned"] = best.get("raw", earlier[-1] if earlier else final)
    return ways, best


def _exchanges(
    trained: SentenceModel, questions: Sequence[str], settings: Settings, context: Context
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
    for start in range(0, len(questions), _AT_ONCE):
        context.progress(start, len(questions), "chains with an exchanged state")
        some = questions[start : start + _AT_ONCE]
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
