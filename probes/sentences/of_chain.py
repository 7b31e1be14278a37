"""The lens on a chain of sentence vectors: every block at every step, and exchanged states."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from probes.sentences.chains import MOST_STEPS, Thought, block_states, think
from probes.sentences.changes import (
    PLOT,
    STEPS,
    Changed,
    change_estimates,
    change_samples,
    change_step,
    step_rows,
)
from probes.sentences.exchanges import AT_ONCE, EXCHANGES, exchange, exchange_estimates
from probes.sentences.grid import Reader, Way, partners
from probes.sentences.nats import Teller
from probes.sentences.readings import (
    NATS,
    WORDS,
    Shown,
    chain_verdict,
    reading_estimates,
    told_nats,
    told_words,
)
from probes.sentences.report import LensGrid, named
from probes.sentences.scores import Target
from probes.sentences.settings import Settings
from probes.sentences.step_words import StepWords, fit_words
from probes.sentences.tuned import fit_low_rank
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.result.result import Note
from workbench.training.sentence_model import SentenceModel

_LEAST_FIT = 24
_EXCHANGED = 32


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
    fitted = [block_states(trained, q, t).cpu() for q, t in fit]
    ways, best = _ways(trained, fit, fitted, layers, settings)
    others = partners([target.unit for target in targets], context.stream("sentence lens partners"))
    read = Shown(states=states[:, list(layers)], targets=targets, others=others, layers=layers)
    teller = Teller.of(trained, thoughts, context)
    seen = _written(trained, read, (ways, best), vectors, settings, context)
    words = fit_words(fitted, [t for _, t in fit], layers, settings.rank) if len(fit) > 1 else None
    seen = _with_readings(seen, read, (ways, teller), words)
    some = questions[:_EXCHANGED]
    return _with_changes(seen, (trained, teller), some, thoughts, settings, context)


def _written(
    trained: SentenceModel,
    read: Shown,
    how: tuple[Mapping[str, Way], Mapping[str, int]],
    vectors: Float[Tensor, "n d_model"],
    settings: Settings,
    context: Context,
) -> LensGrid:
    """Write every state of the steps that are shown, and those of the controls."""
    ways, best = how
    with torch.no_grad():
        spoken = trained.latent.heads.p_out(vectors.to(trained.latent.network.device)).cpu()
    reader = Reader(
        writer=trained.codec,
        ways=ways,
        layers=read.layers,
        targets=spoken,
        limit=settings.limit,
        controls=settings.controls,
    )
    said = Note("the last layer of the raw way is what the chain itself says", code="last-layer")
    return LensGrid(
        **reader.read(read.states, read.others, context),
        targets=read.targets,
        best=best,
        unit="steps",
        notes=(said,),
    )


def _with_readings(
    seen: LensGrid,
    read: Shown,
    how: tuple[Mapping[str, Way], Teller],
    words: StepWords | None,
) -> LensGrid:
    """Add nats, nearest sentences and words of every step and the next."""
    nats = told_nats(read, *how, seen.cells)
    said = None if words is None else told_words(read, words)
    both = [one for one in (nats, said) if one is not None]
    note = Note(
        "words need more chains: a readout of a chain's words is fitted on those that are not "
        "shown, and the lens of ordinary text belongs to other states",
        "warning",
        "no-words",
    )
    if words is not None:
        note = Note(
            f"words are read by a readout fitted on the chains that are not shown, of "
            f"{len(words.words)} words; the lens of ordinary text belongs to other states",
            code="words",
        )
    return replace(
        seen,
        verdict=chain_verdict(nats, seen.best),
        estimates=reading_estimates(nats, seen.best, said, words),
        samples=both,
        averages={"words": WORDS.axes} if said is not None else {},
        notes=(*seen.notes, note),
        plots=(NATS, WORDS),
    )


def _with_changes(
    seen: LensGrid,
    how: tuple[SentenceModel, Teller],
    questions: Sequence[str],
    thoughts: Sequence[Thought],
    settings: Settings,
    context: Context,
) -> LensGrid:
    """Add what became of the first chains with a state exchanged or a step changed."""
    trained, teller = how
    exchanges = exchange(trained, teller, questions, settings, context)
    changed = change_step(trained, questions, thoughts, settings, context)
    steps = step_rows(changed, teller)
    changes = (*exchange_estimates(exchanges), *change_estimates(changed))
    return replace(
        seen,
        estimates=(*changes, *seen.estimates),
        samples=(*seen.samples, *change_samples(steps)),
        averages={**seen.averages, "propagation": PLOT.axes},
        rows={"exchanges": exchanges, "interventions": steps},
        columns={**EXCHANGES, **STEPS},
        notes=(*seen.notes, _what_was_forced(changed, settings)),
        plots=(*seen.plots, PLOT),
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
    for start in range(0, len(questions), AT_ONCE):
        context.progress(start, len(questions), "chains")
        some = questions[start : start + AT_ONCE]
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
    fitted: Sequence[Float[Tensor, "step layer d_model"]],
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
        states = torch.cat(list(fitted))
        target = torch.cat([t.vectors for _, t in fit]).float().cpu()
        maps = {at: fit_low_rank(states[:, at], target, settings.rank) for at in layers}
        ways["tuned"] = lambda layer, h: spoken(maps[layer](h))
        best["tuned"] = best.get("raw", earlier[-1] if earlier else final)
    return ways, best
