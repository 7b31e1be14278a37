"""A sentence codec without an encoder network: the vector is a sum of turned token codes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.training.codec import Decoded, Known
from workbench.training.codec_checks import check_sentences, check_vectors
from workbench.training.lines import block
from workbench.training.lora_codec import Likely, SentenceIds, decoded
from workbench.training.network import Network
from workbench.training.place_codes import PlaceCodes
from workbench.training.writing import Written, write

_ROWS_AT_ONCE = 256


class SummedNetwork(Network):
    """A network that adds to its logits what is left of a sum of turned codes.

    Every token that is embedded is taken out of the sum, so that the next one has less beside it.
    """

    def __init__(self, module: Any, codes: PlaceCodes, stop: int) -> None:
        """Join a network with the codes; nothing is given yet."""
        super().__init__(module)
        self._codes, self._stop = codes, stop
        self._rest, self._place = torch.zeros(0, 0), 0

    def give(self, vectors: Float[Tensor, "n d_model"]) -> None:
        """Set the sums of the rows that are written next."""
        self._rest, self._place = vectors.clone(), 0

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with those rows only."""
        self._rest = self._rest[list(rows)]

    def embed(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        """Embed the tokens that were just written, and take them out of the sums."""
        place = torch.full_like(ids[:, 0], self._place)
        self._rest = self._rest - self._codes.turned(self._codes.every[ids[:, 0]], place)
        self._place += 1
        return super().embed(ids)

    def logits(
        self, states: Float[Tensor, "*batch d_model"], some: Int[Tensor, " token"] | None = None
    ) -> Float[Tensor, "*batch d_vocab"]:
        """Return what the network expects next, and what the rest of the sum says."""
        place = torch.full((len(self._rest),), -self._place, device=self._rest.device)
        rest = self._codes.turned(self._rest, place)
        return self._codes.joint(super().logits(states, some), rest, some, self._stop)


class PooledCodec(Likely):
    """Encodes a sentence as the sum of its tokens' codes, each turned to its place.

    The writer goes from token to token: it takes what is written out of the sum, turns the rest
    back by the place, and joins the log-likelihood that the rest gives every token with what
    the model itself expects next. So the vector need not tell what the model knows anyway, and
    names and numbers that no training saw are tokens like any other. The vector says what was
    said, in order; it is no state of the model and says nothing of what the model made of it.

    Source: `PlaceCodes`; ours.
    """

    space = "pooled"

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        weights: Mapping[str, Tensor],
        known: Known | None = None,
    ) -> None:
        """Join a model's module and tokenizer with trained weights, and the sentences known."""
        embedding: Tensor = module.get_input_embeddings().weight
        self.ids, self.known = SentenceIds(tokenizer), known or Known()
        self.codes = PlaceCodes(embedding.detach(), weights)
        self._network = SummedNetwork(module, self.codes, self.ids.stop)
        self.decoder = Network(module)

    @property
    def d_model(self) -> int:
        """The length of a vector."""
        return int(self.decoder.module.config.hidden_size)

    @torch.no_grad()
    def encode(self, sentences: Sequence[str]) -> Float[Tensor, "batch d_model"]:
        """Return one vector per sentence.

        Raises:
            DataError: a sentence holds no word.
        """
        check_sentences(sentences)
        found = [self.vectors([row]) for row in self.ids.of(sentences)]
        return torch.cat(found) if found else torch.zeros(0, self.d_model)

    def vectors(self, rows: Sequence[Sequence[int]]) -> Float[Tensor, "n d_model"]:
        """Return the vectors of sentences given as ids with their end, with gradients."""
        ids, mask = block(rows, self.ids.pad)
        return (self._turned(ids) * mask.to(self.decoder.device)[..., None]).sum(dim=1)

    def _turned(self, ids: Int[Tensor, "n pos"]) -> Float[Tensor, "n pos d_model"]:
        ids = ids.to(self.decoder.device)
        return self.codes.turned(self.codes.of(ids), torch.arange(ids.shape[1], device=ids.device))

    def token_losses(
        self,
        vectors: Float[Tensor, "n d_model"],
        rows: Sequence[Sequence[int]],
        some: Int[Tensor, " candidate"] | None = None,
    ) -> Float[Tensor, " token"]:
        """Return −log p of every target token in nats, row after row.

        `some` are sorted token ids, the targets among them, that the softmax runs over.
        """
        ids, mask = block(rows, self.ids.pad)
        ids, mask = ids.to(self.decoder.device), mask.to(self.decoder.device)
        start = ids.new_full((len(ids), 1), self.ids.start)
        with torch.no_grad():
            given = self.decoder.embed(torch.cat([start, ids[:, :-1]], dim=1))
            expected = self.decoder.logits(self.decoder.states(given, mask)[mask], some)
        turned = self._turned(ids)
        rest = vectors[:, None] - (turned.cumsum(dim=1) - turned)
        places = -torch.arange(ids.shape[1], device=ids.device)
        rest = self.codes.turned(rest, places)[mask]
        logits = self.codes.joint(expected, rest, some, self.ids.stop)
        wanted = ids[mask] if some is None else torch.searchsorted(some, ids[mask])
        return torch.nn.functional.cross_entropy(logits, wanted, reduction="none")

    @torch.no_grad()
    def decode(
        self, vectors: Float[Tensor, "batch d_model"], *, limit: int = 64, nearest: int = 0
    ) -> list[Decoded]:
        """Write the sentence of each vector greedily, at most `limit` tokens; lengths count.

        Raises:
            NotFinite: a vector holds NaN or infinite numbers.
            DataError: a vector has length zero, so that no token is in it.
        """
        check_vectors(vectors)
        near = self.known.nearest(vectors, nearest)
        written = [one for some in vectors.split(_ROWS_AT_ONCE) for one in self._write(some, limit)]
        return decoded(self.ids, written, near)

    def _write(self, vectors: Float[Tensor, "n d_model"], limit: int) -> list[Written]:
        if not len(vectors):
            return []
        start = torch.full((len(vectors), 1), self.ids.start, device=self.decoder.device)
        self._network.give(vectors.float().to(self.decoder.device))
        mask = torch.ones_like(start, dtype=torch.bool)
        opened = self.decoder.embed(start)
        return write(self._network, opened, mask, stop=(self.ids.stop,), limit=limit)
