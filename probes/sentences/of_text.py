"""The lens on ordinary text: states at the ends of its sentences."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from probes.sentences.grid import Reader, Way, partners
from probes.sentences.report import LensGrid, named
from probes.sentences.scores import Target, overlap
from probes.sentences.settings import Settings
from probes.sentences.states import Ends, Place, sentence_ends
from probes.sentences.tuned import fit_low_rank
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.result.estimate import Estimate
from workbench.result.metric import Control, share
from workbench.result.result import Note
from workbench.result.row_samples import samples_of
from workbench.training.lora_codec import LoraCodec
from workbench.training.pooled_codec import PooledCodec

Codec = LoraCodec | PooledCodec
LEAST_FIT = 24
_CEILING = {
    "overlap": share("Words in common.", unit="F1", name="words in common, codec's own vectors")
}
_OTHER = {"other": Control("another sentence's vector")}


def read_texts(
    codec: Codec,
    model: Model,
    examples: Sequence[Example],
    settings: Settings,
    context: Context,
) -> LensGrid:
    """Read the first sentences of the texts; the other texts fit the maps."""
    ends = sentence_ends(model, examples, settings.longest, context)
    shown = ends.take(range(min(settings.sentences, len(ends.places))))
    last = shown.places[-1].text
    rest = [i for i, p in enumerate(ends.places) if p.text > last][: settings.fitted]
    layers = settings.layers(model.spec.n_layers)
    ways, best = _ways(codec, ends.take(rest), layers, settings)
    targets = [_target(place) for place in shown.places]
    vectors = codec.encode([p.sentence for p in shown.places]).cpu()
    reader = Reader(
        writer=codec,
        ways=ways,
        layers=layers,
        targets=vectors,
        limit=settings.limit,
        controls=settings.controls,
    )
    swap = partners([p.text for p in shown.places], context.stream("sentence lens partners"))
    states = shown.states[:, list(layers)]
    return LensGrid(
        **reader.read(states, swap, context),
        targets=targets,
        best=best,
        unit="sentences",
        estimates=(_ceiling(codec, vectors, targets, settings.limit),),
        notes=_notes(len(rest), len(ends.places) - len(targets), ways, settings),
    )


def _target(place: Place) -> Target:
    return Target(
        name=named(f"{place.text}.{place.number}", place.sentence),
        sentence=place.sentence,
        after=place.after,
        unit=place.text,
    )


def _ways(
    codec: Codec, fit: Ends, layers: Sequence[int], settings: Settings
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
        target = codec.encode([p.sentence for p in fit.places]).cpu()
        maps = {at: fit_low_rank(fit.states[:, at], target, settings.rank) for at in layers}
        ways["tuned"] = lambda layer, h: maps[layer](h)
        best["tuned"] = min(maps, key=lambda layer: maps[layer].error)
    return ways, best


def _normed(codec: Codec, h: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_model"]:
    with torch.no_grad():
        network = codec.decoder
        normed = network.norm(h.to(network.device, network.dtype))
    return normed.float().to(h.device)


def _ceiling(
    codec: Codec,
    vectors: Float[Tensor, "n d_model"],
    targets: Sequence[Target],
    limit: int,
) -> Estimate:
    """Return how well the codec brings these very sentences back from its own vectors."""
    written = [one.text for one in codec.decode(vectors, limit=limit)]
    others = (written[-1], *written) if len(written) > 1 else (None,)
    rows = [
        {
            "text": i,
            "unit": target.unit,
            "overlap": overlap(text, target.sentence),
            "overlap_other": None if other is None else overlap(other, target.sentence),
        }
        for i, (text, other, target) in enumerate(zip(written, others, targets, strict=False))
    ]
    return samples_of(rows, _CEILING, group="unit", unit="sentences", controls_of=_OTHER).estimate(
        "overlap", "other"
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
