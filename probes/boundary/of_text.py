"""The lens on ordinary text: states at the ends of its sentences."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from probes.boundary.grid import Reader, Way, partners
from probes.boundary.report import named
from probes.boundary.scores import Goal, overlap
from probes.boundary.seen import Seen
from probes.boundary.settings import Settings
from probes.boundary.states import Ends, Place, sentence_ends
from probes.boundary.tuned import fit_low_rank
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.result.control_words import with_control
from workbench.result.estimate import Estimate
from workbench.result.intervals import grouped_mean_estimate
from workbench.result.result import Note
from workbench.training.lora_codec import LoraCodec

LEAST_FIT = 24


def read_texts(
    codec: LoraCodec,
    model: Model,
    examples: Sequence[Example],
    settings: Settings,
    context: Context,
) -> Seen:
    """Read the first sentences of the texts; the other texts fit the maps."""
    ends = sentence_ends(model, examples, settings.longest, context)
    shown = ends.take(range(min(settings.sentences, len(ends.places))))
    last = shown.places[-1].text
    rest = [i for i, p in enumerate(ends.places) if p.text > last][: settings.fitted]
    layers = settings.layers(model.spec.n_layers)
    ways, best = _ways(codec, ends.take(rest), layers, settings)
    goals = [_goal(place) for place in shown.places]
    vectors = codec.encode([p.sentence for p in shown.places]).cpu()
    reader = Reader(
        writer=codec,
        ways=ways,
        layers=layers,
        goals=vectors,
        limit=settings.limit,
        controls=settings.controls,
    )
    swap = partners([p.text for p in shown.places], context.stream("sentence lens partners"))
    states = shown.states[:, list(layers)]
    return Seen(
        cells=reader.cells(states, swap, context),
        goals=goals,
        states=states,
        layers=layers,
        best=best,
        n_unit="sentences",
        estimates=(_ceiling(codec, vectors, goals, settings.limit, context),),
        notes=_notes(len(rest), len(ends.places) - len(goals), ways, settings),
    )


def _goal(place: Place) -> Goal:
    return Goal(
        name=named(f"{place.text}.{place.number}", place.sentence),
        sentence=place.sentence,
        after=place.after,
        unit=place.text,
    )


def _ways(
    codec: LoraCodec, fit: Ends, layers: Sequence[int], settings: Settings
) -> tuple[dict[str, Way], dict[str, int]]:
    """Return the ways to read a state, and the layer at which each is judged.

    That is the last layer; for fitted maps the one with the least error on left-out sentences
    of the fit, so that nothing shown has a say in it.
    """
    ways: dict[str, Way] = {}
    if settings.raw:
        ways["raw"] = lambda _, h: h
    if settings.normed:
        ways["normed"] = lambda _, h: _normed(codec, h)
    best = dict.fromkeys(ways, layers[-1])
    if settings.tuned and len(fit.places) >= LEAST_FIT:
        goal = codec.encode([p.sentence for p in fit.places]).cpu()
        maps = {at: fit_low_rank(fit.states[:, at], goal, settings.rank) for at in layers}
        ways["tuned"] = lambda layer, h: maps[layer](h)
        best["tuned"] = min(maps, key=lambda layer: maps[layer].error)
    return ways, best


def _normed(codec: LoraCodec, h: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_model"]:
    with torch.no_grad():
        normed = codec.decoder.norm(h.to(codec.decoder.device, codec.decoder.dtype))
    return normed.float().to(h.device)


def _ceiling(
    codec: LoraCodec,
    vectors: Float[Tensor, "n d_model"],
    goals: Sequence[Goal],
    limit: int,
    context: Context,
) -> Estimate:
    """Return how well the codec brings these very sentences back from its own vectors."""
    written = codec.decode(vectors, limit=limit)
    values = [overlap(w.text, g.sentence) for w, g in zip(written, goals, strict=True)]
    pairs = zip((written[-1], *written), goals, strict=False) if len(goals) > 1 else ()
    swapped = [overlap(other.text, goal.sentence) for other, goal in pairs]
    told = "words in common, codec's own vectors"
    units = [str(goal.unit) for goal in goals]
    mean = _mean(told, values, units, context)
    name = "another sentence's vector"
    other = _mean(name, swapped, units[: len(swapped)], context) if swapped else None
    return with_control(mean, name, other, swapped)


def _mean(name: str, values: Sequence[float], units: Sequence[str], context: Context) -> Estimate:
    return grouped_mean_estimate(
        name,
        values,
        units,
        unit="F1",
        generator=context.stream("sentence lens bootstrap"),
        n_unit="sentences",
        resamples=context.resamples,
        bounds=(0.0, 1.0),
    )


def _notes(n_fit: int, left: int, ways: dict[str, Way], settings: Settings) -> tuple[Note, ...]:
    found = []
    if "tuned" in ways:
        found.append(Note(f"maps fitted on {n_fit} sentences of other texts", code="fit"))
    elif settings.tuned:
        found.append(
            Note(
                f"{n_fit} sentences of texts that are not shown; maps need {LEAST_FIT}, so the "
                "tuned way was left out",
                "warning",
                "too-few-to-fit",
            )
        )
    if left and "tuned" not in ways:
        found.append(Note(f"{left} more sentences were not written; see the option sentences"))
    return tuple(found)
