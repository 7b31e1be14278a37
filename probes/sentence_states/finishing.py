"""From trained weights to a lens: calibrated, its best layer chosen, with bank and controls."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probes.sentence_states.bank import Bank, bank_sentences
from probes.sentence_states.features import Features
from probes.sentence_states.lens import TrainedLens
from probes.sentence_states.objective import Lines, WordObjective
from probes.sentence_states.readout import (
    CURRENT,
    TARGETS,
    WordReadout,
    best_words,
    fit_platt,
)
from probes.sentence_states.vocabulary import Vocabulary

_CALIBRATED = 5
_OTHERS = 256
_CHUNK = 512


def finished(
    objective: WordObjective, vocabulary: Vocabulary, own: Sequence[str], most: int
) -> TrainedLens:
    """Calibrate on the validation part and choose the layer with the highest P@1 there.

    `own` are sentences for the bank, of which `most` are kept.
    """
    train, valid = objective.train, objective.valid
    counts = torch.zeros(len(vocabulary))
    for words in train[1].words[CURRENT]:
        counts[list(words)] += 1
    # Smoothed as the readout's first guess is, so that no prior is zero.
    prior = (counts + 0.5) / (counts + 0.5).sum()
    bank = Bank(
        sentences=bank_sentences(own, vocabulary, most) or tuple(own[:1]),
        vocabulary=vocabulary,
        prior=prior,
    )
    readout, hits = _calibrated(objective.readout(), valid, len(vocabulary))
    others, nearest = _others(readout, valid[0], bank)
    return TrainedLens(
        readout=readout,
        bank=bank,
        others=others,
        other_nearest=nearest,
        best=int(hits.argmax()),
        scores={},
    )


def _calibrated(
    readout: WordReadout, valid: tuple[Features, Lines], n_words: int
) -> tuple[WordReadout, Float[Tensor, " layer"]]:
    """Return the readout with its logistic curves, and P@1 of every layer."""
    features, lines = valid
    platt = {target: x.clone() for target, x in readout.platt.items()}
    hits = torch.zeros(readout.n_layers)
    for target in TARGETS:
        rows = [i for i, words in enumerate(lines.words[target]) if words]
        if not rows:
            continue
        there = lines.shares(rows, target, n_words) > 0
        for layer in range(readout.n_layers):
            log_p, right = _best(readout, features, (layer, target), rows, there)
            platt[target][layer] = fit_platt(log_p.flatten(), right.float().flatten())
            if target == CURRENT:
                hits[layer] = right[:, 0].float().mean()
    return replace(readout, platt=platt), hits


def _best(
    readout: WordReadout,
    features: Features,
    at: tuple[int, str],
    rows: Sequence[int],
    there: Bool[Tensor, "n word"],
) -> tuple[Float[Tensor, "n k"], Bool[Tensor, "n k"]]:
    """Return the log-probabilities of the first words, and whether each is in its sentence."""
    layer, target = at
    found = []
    for start in range(0, len(rows), _CHUNK):
        some = rows[start : start + _CHUNK]
        log_p = readout.log_p(layer, features.layer(layer, some), target)
        top = best_words(log_p, _CALIBRATED)
        found.append((log_p.gather(1, top), there[start : start + _CHUNK].gather(1, top)))
    return torch.cat([x for x, _ in found]), torch.cat([y for _, y in found])


def _others(
    readout: WordReadout, features: Features, bank: Bank
) -> tuple[dict[str, Int[Tensor, "other layer"]], Int[Tensor, "other layer"]]:
    """Return the first words and the nearest sentence of some states of other texts."""
    texts = dict.fromkeys(place.text for place in features.places)
    first = {p.text: i for i, p in reversed(list(enumerate(features.places)))}
    rows = [first[text] for text in texts][:_OTHERS]
    words: dict[str, list[Tensor]] = {target: [] for target in TARGETS}
    nearest = []
    for layer in range(readout.n_layers):
        states = features.layer(layer, rows)
        for target in TARGETS:
            log_p = readout.log_p(layer, states, target)
            words[target].append(best_words(log_p, 1)[:, 0])
            if target == CURRENT:
                nearest.append(bank.nearest(log_p))
    stacked = {target: torch.stack(x, dim=1) for target, x in words.items()}
    return stacked, torch.stack(nearest, dim=1)
