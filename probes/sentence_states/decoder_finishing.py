"""From trained weights to a decoder: its best layer, its controls, and what it is trusted with."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from probes.sentence_states.decoder import ADAPTER, OTHER, STATE, SentenceDecoder
from probes.sentence_states.decoder_objective import DecoderObjective, DecoderRows
from probes.sentence_states.lens import BEST, TrainedLens
from probes.sentence_states.written import agreement, trusted_from, word_f1

_OTHERS = 64
_SCORED = 320


def finished(objective: DecoderObjective) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a checkpoint and what its manifest says beside them.

    Of the validation part come the layer that saves most, and codes of sentences of different
    texts that stand in as another sentence's state.
    """
    decoder, valid = objective.decoder, objective.valid
    others = _others(decoder, valid)
    tensors = {
        **objective.adapter.tensors(ADAPTER),
        **{STATE + name: x.detach() for name, x in decoder.weights.items()},
        **{f"{OTHER}{layer}": x.detach() for layer, x in others.items()},
    }
    saved = {layer: _saved(decoder, valid, layer) for layer in decoder.layers}
    best = max(saved, key=lambda layer: saved[layer])
    options = {BEST: best, "other_written": decoder.write(others[best])}
    return tensors, options


def trust(decoder: SentenceDecoder, lens: TrainedLens, objective: DecoderObjective) -> float:
    """Return the agreement with the readout from which a written sentence is trusted."""
    rows = DecoderRows.of(objective.valid.features, decoder, _SCORED)
    every = range(len(rows.ids))
    states = rows.states(decoder.best, every).to(decoder.network.device)
    written = decoder.write(decoder.code(decoder.best, states))
    f1 = [word_f1(text, decoder.ids.text(ids)) for text, ids in zip(written, rows.ids, strict=True)]
    return trusted_from(agreement(lens, decoder.best, states, written), f1)


def _saved(decoder: SentenceDecoder, rows: DecoderRows, layer: int) -> float:
    states = rows.states(layer, range(len(rows.ids))).to(decoder.network.device)
    codes = decoder.code(layer, states)
    bare, own = (decoder.nats(c, rows.ids) for c in (torch.zeros_like(codes), codes))
    return sum(float(a.sum() - b.sum()) for a, b in zip(bare, own, strict=True))


def _others(decoder: SentenceDecoder, rows: DecoderRows) -> dict[int, Tensor]:
    """Return the codes of one sentence of each of some texts, by layer."""
    first: dict[int, int] = {}
    for i, place in enumerate(rows.places):
        first.setdefault(rows.features.places[place].text, i)
    some: Sequence[int] = list(first.values())[:_OTHERS]
    return {
        layer: decoder.code(layer, rows.states(layer, some).to(decoder.network.device))
        for layer in decoder.layers
    }
