"""What the training loop needs to train the readout of words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from probes.sentence_states.features import Features
from probes.sentence_states.readout import CURRENT, TARGETS, WordReadout
from probes.sentence_states.vocabulary import Vocabulary, is_read

_NOISE = 1e-4
_NEIGHBOURS_WEIGHT = 0.5
_NEIGHBOURS_RANK = 8
_FEWER = 6
_DROPPED = 0.2


@dataclass(frozen=True, kw_only=True)
class Lines:
    """The words of each place and of its neighbours, as numbers; none where there is none."""

    words: Mapping[str, tuple[tuple[int, ...], ...]]

    @classmethod
    def of(cls, features: Features, vocabulary: Vocabulary) -> "Lines":
        """Look the neighbours up among the sentences of the same text."""
        at = {(p.text, p.number): i for i, p in enumerate(features.places)}
        own = [
            tuple(vocabulary.numbers(p.sentence)) if is_read(p.sentence) else ()
            for p in features.places
        ]
        found = {}
        for target, step in TARGETS.items():
            rows = (at.get((p.text, p.number + step)) for p in features.places)
            found[target] = tuple(() if i is None else own[i] for i in rows)
        return cls(words=found)

    def shares(self, rows: Sequence[int], target: str, n_words: int) -> Float[Tensor, "n word"]:
        """Return each row's words with a share each; rows without words are zero."""
        found = torch.zeros(len(rows), n_words)
        for i, row in enumerate(rows):
            words = self.words[target][row]
            if words:
                found[i].index_add_(
                    0, torch.tensor(words), torch.full((len(words),), 1 / len(words))
                )
        return found


class WordObjective:
    """Cross-entropy of the words of sentences, in nats a word, mean over some layers.

    Each step reads `layers_a_step` layers drawn at random, a fifth of the numbers of each state
    left out. The maps of neighbouring sentences have a low rank of their own, count half and are
    learned from a sixth of the rows.
    """

    def __init__(
        self,
        train: tuple[Features, Lines],
        valid: tuple[Features, Lines],
        start: WordReadout,
        *,
        layers_a_step: int,
    ) -> None:
        """Begin from a readout whose maps are factors: see `factors`."""
        self.train, self.valid, self.start = train, valid, start
        self._layers_a_step = min(layers_a_step, start.n_layers)
        self._rows = [i for i, words in enumerate(train[1].words[CURRENT]) if words]
        valid_rows = [i for i, words in enumerate(valid[1].words[CURRENT]) if words]
        self._valid_rows = valid_rows[:: max(1, len(valid_rows) // 512)]
        self.weights = {name: nn.Parameter(x.clone()) for name, x in _factors(start).items()}

    @property
    def n_rows(self) -> int:
        """The number of sentences to learn from."""
        return len(self._rows)

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The shared words and the maps."""
        return self.weights

    def losses(self, rows: Sequence[int], generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the loss of each layer and target."""
        drawn = torch.randperm(self.start.n_layers, generator=generator)[: self._layers_a_step]
        chosen = [self._rows[i] for i in rows]
        yield from self._pieces(self.train, chosen, drawn.tolist(), dropped=generator)

    def validate(self) -> float:
        """Return the loss of the present sentence's words over some layers."""
        n = self.start.n_layers
        layers = sorted({round(i * (n - 1) / 4) for i in range(5)})
        pieces = self._pieces(self.valid, self._valid_rows, layers, (CURRENT,))
        return sum(float(piece.detach()) for piece in pieces)

    def readout(self) -> WordReadout:
        """Return the readout with the weights as they are now, not calibrated."""
        maps = {t: self._map(t).detach() for t in TARGETS}
        return WordReadout(
            mean=self.start.mean,
            scale=self.start.scale,
            maps=maps,
            up=self.weights["up"].detach(),
            bias=self.weights["bias"].detach(),
            platt={t: torch.tensor([[1.0, 0.0]]).repeat(self.start.n_layers, 1) for t in TARGETS},
        )

    def _map(self, target: str) -> Float[Tensor, "layer d_model rank"]:
        layers = range(self.start.n_layers)
        if target == CURRENT:
            return torch.stack([self.weights[f"map.{layer}"] for layer in layers])
        down = torch.stack([self.weights[f"down.{target}.{layer}"] for layer in layers])
        return down @ self.weights[f"up.{target}"]

    def _pieces(
        self,
        data: tuple[Features, Lines],
        rows: Sequence[int],
        layers: Sequence[int],
        targets: Sequence[str] = tuple(TARGETS),
        dropped: torch.Generator | None = None,
    ) -> Iterator[Tensor]:
        features, lines = data
        n_words = self.weights["bias"].shape[0]
        some = {t: len(rows) if t == CURRENT else -(-len(rows) // _FEWER) for t in targets}
        shares = {t: lines.shares(rows[: some[t]], t, n_words) for t in targets}
        for layer in layers:
            z = self.start.standardised(layer, features.layer(layer, rows))
            if dropped is not None:
                kept = torch.rand(z.shape, generator=dropped) >= _DROPPED
                z = z * kept / (1 - _DROPPED)
            for t in targets:
                yield self._loss(z[: some[t]], layer, t, shares[t]) / len(layers)

    def _loss(
        self,
        z: Float[Tensor, "n d_model"],
        layer: int,
        target: str,
        shares: Float[Tensor, "n word"],
    ) -> Tensor:
        has_words = shares.sum(dim=1) > 0
        if target == CURRENT:
            h = z @ self.weights[f"map.{layer}"]
        else:
            h = z @ self.weights[f"down.{target}.{layer}"] @ self.weights[f"up.{target}"]
        log_p = (h @ self.weights["up"] + self.weights["bias"]).log_softmax(dim=-1)
        loss = -(log_p * shares).sum() / has_words.sum().clamp(min=1)
        return loss if target == CURRENT else _NEIGHBOURS_WEIGHT * loss


def fresh_readout(
    features: Features,
    lines: Lines,
    up: Float[Tensor, "rank word"],
    *,
    most: int = 20_000,
) -> WordReadout:
    """Return a readout that says how frequent each word is, whatever the state.

    Means and deviations are those of the states to learn from. Maps are zero, so that the loss
    begins at the entropy of the words; `up` is what they begin to learn for.
    """
    n_layers, n, d_model = features.n_layers, len(features.places), features.d_model
    some = range(0, n, max(1, n // most))
    moments = [(x.mean(dim=0), x.std(dim=0)) for x in
               (features.layer(layer, some) for layer in range(n_layers))]  # fmt: skip
    mean = torch.stack([m for m, _ in moments])
    scale = torch.stack([s for _, s in moments])
    # A dimension that never moves says nothing; divided by nearly nothing it would shout.
    scale = scale.clamp(min=1e-6) + _NOISE * scale.mean(dim=1, keepdim=True)
    rank, n_words = up.shape
    counts = torch.zeros(n_words)
    for words in lines.words[CURRENT]:
        counts[list(words)] += 1
    return WordReadout(
        mean=mean,
        scale=scale,
        maps={CURRENT: torch.zeros(n_layers, d_model, rank)},
        up=up,
        bias=((counts + 0.5) / (counts + 0.5).sum()).log(),
        platt={CURRENT: torch.tensor([[1.0, 0.0]]).repeat(n_layers, 1)},
    )


def _factors(start: WordReadout) -> dict[str, Tensor]:
    """Return the weights to train, a map for each layer so that a step touches those it reads.

    Maps of neighbours are the first columns times an identity.
    """
    current = start.maps[CURRENT]
    rank = current.shape[2]
    low = max(1, rank // _NEIGHBOURS_RANK)
    found = {"up": start.up, "bias": start.bias}
    found |= {f"map.{layer}": x for layer, x in enumerate(current)}
    for target in TARGETS:
        if target != CURRENT:
            found |= {f"down.{target}.{layer}": x[:, :low] for layer, x in enumerate(current)}
            found[f"up.{target}"] = torch.eye(rank)[:low]
    return found
