"""Sentences as single vectors of the residual stream, and back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.errors import BadOption
from workbench.training.codec_checks import check_sentences, check_vectors
from workbench.training.lines import Lines, Worked, block
from workbench.training.network import Network, put
from workbench.training.writing import GREEDILY, Drawing, write

Space = Literal["semantic", "ctx-b", "ctx-c"]


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A sentence, the mean log-probability of its tokens in nats, and the known ones nearest.

    `is_complete` is False where a limit on its tokens cut it off. `nearest` holds
    (sentence, cosine) pairs. A fluent sentence comes out of any vector: look at the
    log-probability and at controls before believing one.
    """

    text: str
    ids: tuple[int, ...]
    logprob: float
    is_complete: bool = True
    nearest: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """Sentences of the training data and the mean vector of each."""

    texts: tuple[str, ...] = ()
    vectors: Float[Tensor, "n d_model"] = field(default_factory=lambda: torch.zeros(0, 0))

    def nearest(
        self, vectors: Float[Tensor, "batch d_model"], n: int
    ) -> list[tuple[tuple[str, float], ...]]:
        """Return the n sentences whose vectors point most nearly the same way, with cosines."""
        n = min(n, len(self.texts))
        if n < 1:
            return [()] * len(vectors)
        unit = torch.nn.functional.normalize
        there = self.vectors.float().to(vectors.device)
        top = (unit(vectors.float(), dim=-1) @ unit(there, dim=-1).T).topk(n, dim=-1)
        return [
            tuple((self.texts[i], cosine) for i, cosine in zip(row, values, strict=True))
            for row, values in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ]


class SentenceCodec:
    """Encodes a sentence as the state at a line break, and writes a sentence from one vector.

    - `semantic`: the state at the line break *after* the sentence alone, a record of it.
    - `ctx-b`, `ctx-c`: the state at the line break *before* the sentence, given the question and
      the sentences so far: a prediction of it. `ctx-c` was trained to lie near the semantic one.

    The decoder is the same network; it is given the vector as the embedding of position 0.

    Source: arXiv:2505.22202, section 3. We differ: the line break ends every target, the answer
    sentence is a target like any other, and all contextual vectors of a problem come from one
    causal pass.
    """

    def __init__(self, network: Network, tokenizer: Any, space: Space, known: Known | None = None):
        """Join a network with its tokenizer and the sentences it knows."""
        self.network, self.space = network, space
        self.lines = Lines(tokenizer)
        self.known = known or Known()

    @property
    def d_model(self) -> int:
        """The length of a vector."""
        return int(self.network.module.config.hidden_size)

    def encode(
        self, sentences: Sequence[str], *, context: Sequence[Sequence[str]] | None = None
    ) -> Float[Tensor, "batch d_model"]:
        """Return one vector per sentence, without gradients.

        A contextual codec needs `context`: for each sentence, the question and the sentences
        before it; the sentence itself is then not looked at.

        Raises:
            BadOption: a contextual codec was given no context.
            DataError: a sentence, or the question of a context, holds no word.
        """
        if self.space == "semantic":
            check_sentences(sentences)
            rows = [self.lines.sentence(text) for text in sentences]
        elif context is None or len(context) != len(sentences):
            raise BadOption(
                f"a {self.space} codec encodes a sentence by what stands before it",
                hint="context=[[question, first sentence, …], …]",
            )
        else:
            check_sentences([before[0] if before else "" for before in context])
            rows = [self.lines.prefix(before[0], before[1:]) for before in context]
        with torch.no_grad():
            return self._at(rows, [(i, len(row) - 1) for i, row in enumerate(rows)])

    def problem_vectors(self, problems: Sequence[Worked]) -> list[Float[Tensor, "_ d_model"]]:
        """Return the vectors of every problem's sentences, with gradients, from one causal pass."""
        lines, sizes = self.lines, [len(worked.sentences) for worked in problems]
        if self.space == "semantic":
            rows = [lines.sentence(s) for worked in problems for s in worked.sentences]
            places = [(i, len(row) - 1) for i, row in enumerate(rows)]
        else:
            rows, places = [], []
            for i, worked in enumerate(problems):
                row = lines.question(worked.question)
                for sentence in worked.sentences:
                    places.append((i, len(row) - 1))
                    row = row + lines.sentence(sentence)
                # Nothing is read after the last sentence, so it is not run.
                rows.append(row[: places[-1][1] + 1])
        return list(self._at(rows, places).split(sizes))

    def decode(
        self,
        vectors: Float[Tensor, "batch d_model"],
        *,
        limit: int = 50,
        drawing: Drawing = GREEDILY,
        nearest: int = 0,
    ) -> list[Decoded]:
        """Write the sentence of each vector, at most `limit` tokens.

        Raises:
            DataError: a vector has length zero.
            NotFinite: a vector holds NaN or infinite numbers.
        """
        if not len(vectors):
            return []
        check_vectors(vectors)
        embeds = vectors[:, None].to(self.network.device, self.network.dtype)
        mask = torch.ones(len(vectors), 1, dtype=torch.bool)
        stop = (self.lines.newline, self.lines.end)
        found = write(self.network, embeds, mask, stop=stop, limit=limit, drawing=drawing)
        near = self.known.nearest(vectors, nearest)
        return [
            Decoded(
                text=self.lines.text(w.ids),
                ids=w.ids,
                logprob=w.logprob,
                is_complete=w.stopped,
                nearest=near[i],
            )
            for i, w in enumerate(found)
        ]

    def token_losses(
        self, vectors: Float[Tensor, "n d_model"], targets: Sequence[Sequence[int]]
    ) -> tuple[Float[Tensor, "n pos"], Bool[Tensor, "n pos"]]:
        """Return the negative log-likelihood of each target token in nats, and which are real.

        Gradients flow into the vectors and, unless it is frozen, into the network.
        """
        ids, mask = block(targets, self.lines.pad)
        ids, mask = ids.to(self.network.device), mask.to(self.network.device)
        given = torch.cat([torch.zeros_like(ids[:, :1]), ids[:, :-1]], dim=1)
        embeds = put(self.network.embed(given), [(i, 0) for i in range(len(ids))], vectors)
        logits = self.network.logits(self.network.states(embeds, mask))
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids, reduction="none")
        return losses * mask, mask

    def _at(
        self, rows: Sequence[Sequence[int]], places: Sequence[tuple[int, int]]
    ) -> Float[Tensor, "n d_model"]:
        ids, mask = block(rows, self.lines.pad)
        states = self.network.states(self.network.embed(ids), mask.to(self.network.device))
        where = torch.tensor(list(places), device=states.device)
        return states[where[:, 0], where[:, 1]]
