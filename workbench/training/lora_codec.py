"""A semantic sentence codec made of two adapters on one model: one reads, one writes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.model.module_paths import find_paths
from workbench.model.tokens import token_ids
from workbench.training.codec import Decoded, Known
from workbench.training.codec_checks import check_sentences, check_vectors
from workbench.training.lines import block, end_id
from workbench.training.network import Network
from workbench.training.writing import Written, write

_TOKENS_AT_ONCE = 8192
_ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class SentenceIds:
    """Sentences as token ids between a token that opens and one that ends a text."""

    tokenizer: Any

    @cached_property
    def stop(self) -> int:
        """The id that ends a sentence.

        Raises:
            Unsupported: the tokenizer has no token that ends a text.
        """
        return end_id(self.tokenizer)

    @cached_property
    def start(self) -> int:
        """The id that opens a text; the one that ends it where there is no other."""
        start = self.tokenizer.bos_token_id
        return self.stop if start is None else int(start)

    @property
    def pad(self) -> int:
        """An id that fills rows; it is always masked."""
        return int(self.tokenizer.pad_token_id or 0)

    def of(self, sentences: Sequence[str]) -> list[list[int]]:
        """Return the ids of every sentence and the end after it; runs of blanks are one."""
        flat = (" ".join(text.split()) for text in sentences)
        return [
            [*token_ids(self.tokenizer, text, special_tokens=False), self.stop] for text in flat
        ]

    def text(self, ids: Sequence[int]) -> str:
        """Return ids as text, without the end."""
        kept = [i for i in ids if i != self.stop]
        return str(self.tokenizer.decode(kept, skip_special_tokens=False))


class Likely:
    """A codec that says how likely sentences are given vectors, from the losses of tokens."""

    ids: SentenceIds

    def token_losses(
        self, vectors: Float[Tensor, "n d_model"], rows: Sequence[Sequence[int]]
    ) -> Float[Tensor, " token"]:
        """Return −log p of every token in nats, row after row."""
        raise NotImplementedError

    @torch.no_grad()
    def likelihood(
        self, vectors: Float[Tensor, "batch d_model"], sentences: Sequence[str]
    ) -> list[float]:
        """Return the mean token log-probability of each sentence under its vector, in nats.

        Raises:
            DataError: a sentence holds no word, or a vector no direction.
            NotFinite: a vector holds NaN or infinite numbers.
        """
        check_sentences(sentences)
        check_vectors(vectors)
        rows = self.ids.of(sentences)
        found = [0.0] * len(rows)
        for some in by_length([len(row) + 1 for row in rows], _TOKENS_AT_ONCE):
            losses = self.token_losses(vectors[some], [rows[i] for i in some])
            for i, part in zip(some, losses.split([len(rows[i]) for i in some]), strict=True):
                found[i] = -float(part.mean())
        return found


class LoraCodec(Likely):
    """Encodes a sentence as the state at its end, and writes a sentence from one vector.

    The encoder reads the sentence after a token that opens a text; its last state, past the
    final norm, is brought to one length and is the vector. The decoder is given the opening
    token, then the vector in the place of a token, and writes the sentence. The vector never
    stands first: what stands there is where attention rests, and its state is swamped.

    Source: semantic embeddings of arXiv:2505.22202, section 3. We differ: encoder and decoder
    are two adapters instead of shared full weights, vectors have one length, and the end token
    stands in place of a line break.
    """

    space = "semantic"

    def __init__(
        self, encoder: Network, decoder: Network, tokenizer: Any, known: Known | None = None
    ) -> None:
        """Join both networks with their tokenizer and the sentences they know."""
        self.encoder, self.decoder = encoder, decoder
        self.ids = SentenceIds(tokenizer)
        self.known = known or Known()

    @property
    def d_model(self) -> int:
        """The length of a vector."""
        return int(self.decoder.module.config.hidden_size)

    @cached_property
    def scale(self) -> float:
        """The root mean square of a vector: that of the final norm's weights.

        It is the size of the states that the network itself puts out.
        """
        norm: Any = self.decoder.module.get_submodule(find_paths(self.decoder.module).norm)
        weight: Tensor = norm.weight.detach().float()
        return float(weight.square().mean().sqrt())

    def scaled(self, h: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """Bring vectors to the length that the decoder reads."""
        h = h.float()
        # Divided by the largest entry first, so that no square is too small or too large.
        h = h / h.detach().abs().amax(dim=-1, keepdim=True).clamp(min=torch.finfo(h.dtype).tiny)
        square = h.square().mean(dim=-1, keepdim=True).clamp(min=1e-30)
        return h * (torch.rsqrt(square) * self.scale)

    @torch.no_grad()
    def encode(self, sentences: Sequence[str]) -> Float[Tensor, "batch d_model"]:
        """Return one vector per sentence, without gradients; like lengths share a batch.

        Raises:
            DataError: a sentence holds no word.
        """
        check_sentences(sentences)
        rows = self.ids.of(sentences)
        found = torch.zeros(len(rows), self.d_model, device=self.encoder.device)
        for some in by_length([len(row) + 1 for row in rows], _TOKENS_AT_ONCE):
            found[some] = self.vectors([rows[i] for i in some]).float()
        return found

    def vectors(self, rows: Sequence[Sequence[int]]) -> Float[Tensor, "n d_model"]:
        """Return the vectors of sentences given as ids with their end, with gradients."""
        ids, mask = block([[self.ids.start, *row] for row in rows], self.ids.pad)
        states = self.encoder.states(self.encoder.embed(ids), mask.to(self.encoder.device))
        last = (mask.long().sum(dim=1) - 1).to(states.device)
        return self.scaled(states[torch.arange(len(states), device=states.device), last])

    def token_losses(
        self, vectors: Float[Tensor, "n d_model"], rows: Sequence[Sequence[int]]
    ) -> Float[Tensor, " token"]:
        """Return the negative log-likelihood of every target token in nats, row after row."""
        ids, mask = block(rows, self.ids.pad)
        ids, mask = ids.to(self.decoder.device), mask.to(self.decoder.device)
        given = self._opened(vectors, ids[:, :-1])
        seen = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)
        states = self.decoder.states(given, seen)[:, 1:]
        return torch.nn.functional.cross_entropy(
            self.decoder.logits(states[mask]), ids[mask], reduction="none"
        )

    def decode(
        self, vectors: Float[Tensor, "batch d_model"], *, limit: int = 64, nearest: int = 0
    ) -> list[Decoded]:
        """Write the sentence of each vector greedily, at most `limit` tokens.

        Vectors of any length are taken; only their direction counts.

        Raises:
            DataError: a vector has length zero, and so no direction.
            NotFinite: a vector holds NaN or infinite numbers.
        """
        check_vectors(vectors)
        near = self.known.nearest(vectors, nearest)
        found: list[Decoded] = []
        if not len(vectors):
            return found
        for some in vectors.split(_ROWS_AT_ONCE):
            opened = self._opened(some, torch.zeros(len(some), 0, dtype=torch.long))
            mask = torch.ones(opened.shape[:2], dtype=torch.bool)
            written = write(self.decoder, opened, mask, stop=(self.ids.stop,), limit=limit)
            found += decoded(self.ids, written, near[len(found) :])
        return found

    def _opened(
        self, vectors: Float[Tensor, "n d_model"], ids: Int[Tensor, "n pos"]
    ) -> Float[Tensor, "n width d_model"]:
        """Return the decoder's input: the opening token, the vector, and ids after it."""
        start = torch.full((len(ids), 1), self.ids.start, dtype=torch.long)
        before, after = self.decoder.embed(start), self.decoder.embed(ids)
        given = self.scaled(vectors.to(before.device)).to(before.dtype)
        return torch.cat([before, given[:, None], after], dim=1)


def decoded(
    ids: SentenceIds, written: Sequence[Written], near: Sequence[tuple[tuple[str, float], ...]]
) -> list[Decoded]:
    """Return written rows as sentences, each with the known ones nearest to its vector."""
    return [
        Decoded(
            text=ids.text(one.ids),
            ids=one.ids,
            logprob=one.logprob,
            is_complete=one.stopped,
            nearest=known,
        )
        for one, known in zip(written, near, strict=False)
    ]


def by_length(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Yield row numbers in groups of like length, at most `tokens` positions each when padded."""
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    group: list[int] = []
    for i in order:
        if group and (len(group) + 1) * lengths[i] > tokens:
            yield group
            group = []
        group.append(i)
    if group:
        yield group
