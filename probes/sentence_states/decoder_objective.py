"""What the training loop needs to train the decoder of a sentence lens."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from probes.sentence_states.decoder import ADAPTER, LONGEST, RECIPE, STATE, SentenceDecoder
from probes.sentence_states.features import Features
from probes.sentence_states.vocabulary import is_read
from workbench.errors import TooLittleData
from workbench.model.model import Model
from workbench.training.adapter import Adapter
from workbench.training.lora_codec import by_length
from workbench.training.shipped import open_checkpoint
from workbench.training.weights import take_over

_TOKENS = 1024
_OTHERS = 1024
_VALIDATED = 160


@dataclass(frozen=True, kw_only=True, eq=False)
class DecoderRows:
    """The sentences of some places as ids with their end, those that are not too long."""

    features: Features
    places: tuple[int, ...]
    ids: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, features: Features, decoder: SentenceDecoder, most: int = 0) -> "DecoderRows":
        """Keep sentences of two words or more, at most `most` of them spread over all.

        Raises:
            TooLittleData: there is none.
        """
        read = [i for i, place in enumerate(features.places) if is_read(place.sentence)]
        read = read[:: max(1, len(read) // most)] if most else read
        rows = decoder.ids.of([features.places[i].sentence for i in read])
        kept = [(i, tuple(row)) for i, row in zip(read, rows, strict=True) if len(row) <= LONGEST]
        if not kept:
            raise TooLittleData(
                f"no sentence of two words or more has at most {LONGEST} tokens",
                hint="give more texts with --data, or let the model write more with --own",
            )
        return cls(features=features, places=tuple(i for i, _ in kept),
                   ids=tuple(row for _, row in kept))  # fmt: skip

    def states(self, layer: int, rows: Sequence[int]) -> Float[Tensor, "n d_model"]:
        """Return the states of some sentences at one layer."""
        return self.features.layer(layer, [self.places[i] for i in rows])


class DecoderObjective:
    """Cross-entropy of sentences given a state of one layer or, for a share of them, none.

    Rows of like length share a pass and a layer, drawn at random. In training the softmax runs
    over the tokens of the training sentences and a sample of the others, whose weight makes up
    for those left out; in validation over all tokens.
    """

    def __init__(
        self,
        decoder: SentenceDecoder,
        adapter: Adapter,
        train: Features,
        valid: Features,
        *,
        bare: float,
    ) -> None:
        """Begin with a decoder whose weights are parameters; a share `bare` has no state."""
        self.decoder, self.adapter, self._bare = decoder, adapter, bare
        self.train = DecoderRows.of(train, decoder)
        self.valid = DecoderRows.of(valid, decoder, _VALIDATED)
        n_tokens: int = decoder.network.module.config.vocab_size
        is_known = torch.zeros(n_tokens, dtype=torch.bool)
        is_known[sorted({i for row in self.train.ids for i in row})] = True
        self._known, self._rest = is_known.nonzero()[:, 0], (~is_known).nonzero()[:, 0]

    @property
    def n_rows(self) -> int:
        """The number of sentences to learn from."""
        return len(self.train.ids)

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The adapter and the maps of states."""
        maps = {n: w for n, w in self.decoder.weights.items() if isinstance(w, nn.Parameter)}
        return {**self.adapter.parameters(), **maps}

    def begin(self, model: Model, folder: str) -> str:
        """Take over the weights of a trained decoder and return their hash.

        Raises:
            ModelError: it belongs to another model, or its sizes or layers are others.
        """
        found = open_checkpoint(model, Path(folder).expanduser(), RECIPE)
        weights = self.parameters()
        trained = {**found.part(ADAPTER), **found.part(STATE)}
        take_over(
            weights,
            {name: x for name, x in trained.items() if name not in ("mean", "scale")},
            hint="go on from a decoder of the same preset, lens, rank and layers",
        )
        return found.manifest.weights_hash

    def losses(self, rows: Sequence[int], generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the loss of each pass; together they are the mean per token."""
        total = sum(len(self.train.ids[i]) for i in rows)
        some = self._sample(generator)
        for part, layer in self._passes([self.train.ids[i] for i in rows], generator):
            mine = [rows[i] for i in part]
            states = self.train.states(layer, mine).to(self.decoder.network.device)
            is_bare = torch.rand(len(mine), 1, generator=generator) < self._bare
            codes = self.decoder.code(layer, states)
            codes = codes * (~is_bare).to(codes)
            h, tokens = self.decoder.last_states(codes, [self.train.ids[i] for i in mine])
            yield self._sampled_loss(h, tokens, some) / total

    def _passes(
        self, rows: Sequence[Sequence[int]], generator: torch.Generator
    ) -> Iterator[tuple[list[int], int]]:
        layers = self.decoder.layers
        for part in by_length([len(row) for row in rows], _TOKENS):
            yield part, layers[int(torch.randint(len(layers), (1,), generator=generator))]

    def validate(self) -> float:
        """Return nats per token given a state, each sentence at a layer of its own."""
        layers, total = self.decoder.layers, 0.0
        for at, layer in enumerate(layers):
            mine = range(at, len(self.valid.ids), len(layers))
            ids = [self.valid.ids[i] for i in mine]
            codes = self.decoder.code(layer, self.valid.states(layer, mine))
            losses = self.decoder.nats(codes, ids)
            total += sum(float(one.sum()) for one in losses)
        return total / sum(map(len, self.valid.ids))

    def _sample(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return known tokens and some others, and what is added to the logits of each."""
        order = torch.randperm(len(self._rest), generator=generator)[:_OTHERS]
        chosen = torch.cat([self._known, self._rest[order]])
        added = torch.zeros(len(chosen))
        if len(order):
            added[len(self._known) :] = torch.tensor(len(self._rest) / len(order)).log()
        return chosen, added

    def _sampled_loss(
        self,
        h: Float[Tensor, "token d_model"],
        tokens: Int[Tensor, " token"],
        some: tuple[Tensor, Tensor],
    ) -> Tensor:
        chosen, added = (x.to(h.device) for x in some)
        with self.decoder.mixed():
            logits = self.decoder.network.logits(h, chosen) + added
        number = torch.searchsorted(chosen[: len(self._known)], tokens)
        return nn.functional.cross_entropy(logits, number, reduction="sum")
