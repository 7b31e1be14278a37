"""What the training loop needs to train a pooled codec: losses of sentences from noisy sums."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.training.lora_codec import by_length
from workbench.training.objective import RowObjective
from workbench.training.pooled_codec import PooledCodec

_OTHERS = 2048


class PooledObjective(RowObjective[Sequence[int]]):
    """Cross-entropy of sentences given the sum of their codes with noise, in nats per token.

    Noise is as long as a share of the vector that is drawn for each sentence between 0 and
    `noise`. The softmax of a step runs over its own tokens and a sample of all others.
    """

    def __init__(
        self,
        codec: PooledCodec,
        weights: Mapping[str, nn.Parameter],
        train: Sequence[str],
        valid: Sequence[str],
        *,
        noise: float,
        at_once: int,
    ) -> None:
        """Keep the sentences as ids; `at_once` bounds the positions of one pass."""
        super().__init__(weights, codec.ids.of(train))
        self._codec, self._valid = codec, codec.ids.of(valid)
        self._noise, self._at_once = noise, at_once
        self._n_tokens = len(codec.codes.embedding)

    def losses(self, rows: Sequence[int], generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the loss of sentences of like length, batch by batch."""
        yield from self._pieces([self.rows[i] for i in rows], generator)

    @torch.no_grad()
    def validate(self) -> float:
        """Return the loss on held-out sentences, the same noise and the same tokens every time."""
        generator = torch.Generator().manual_seed(0)
        return sum(float(piece) for piece in self._pieces(self._valid, generator))

    def _pieces(
        self, rows: Sequence[Sequence[int]], generator: torch.Generator
    ) -> Iterator[Tensor]:
        total, some = sum(map(len, rows)), self._sample(rows, generator)
        for part in by_length([len(row) for row in rows], self._at_once):
            mine = [rows[i] for i in part]
            vectors = self._noisy(self._codec.vectors(mine), generator)
            yield self._codec.token_losses(vectors, mine, some).sum() / total

    def _sample(
        self, rows: Sequence[Sequence[int]], generator: torch.Generator
    ) -> Int[Tensor, " candidate"]:
        others = torch.randint(self._n_tokens, (_OTHERS,), generator=generator)
        own = torch.tensor([i for row in rows for i in row])
        found: Tensor = torch.cat([own, others]).unique()
        return found.to(self._codec.codes.embedding.device)

    def _noisy(
        self, vectors: Float[Tensor, "n d_model"], generator: torch.Generator
    ) -> Float[Tensor, "n d_model"]:
        noise = torch.randn(vectors.shape, generator=generator).to(vectors.device)
        share = self._noise * torch.rand(len(vectors), 1, generator=generator).to(vectors.device)
        length = vectors.detach().norm(dim=-1, keepdim=True)
        found: Tensor = vectors + share * length * torch.nn.functional.normalize(noise, dim=-1)
        return found
