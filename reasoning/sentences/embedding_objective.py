"""Training a codec: sentences to vectors and back."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from reasoning.sentences.contrast import info_nce
from workbench.training.codec import SentenceCodec
from workbench.training.lines import Worked
from workbench.training.network import Tuning
from workbench.training.objective import RowObjective

ANCHOR_WEIGHT = 0.5


class EmbeddingObjective(RowObjective[Worked]):
    """Reconstruction loss of every sentence from its vector, in nats per token.

    Encoder and decoder share their weights. `ctx-c` adds half an InfoNCE towards the vectors of
    a frozen semantic codec.

    Source: arXiv:2505.22202, section 3 and appendix; dropout on the vector as there.
    """

    def __init__(
        self,
        tuning: Tuning,
        codec: SentenceCodec,
        train: Sequence[Worked],
        valid: Sequence[Worked],
        *,
        anchor: SentenceCodec | None = None,
        dropout: float = 0.2,
    ) -> None:
        """Keep the problems; `anchor` is the semantic codec of `ctx-c`."""
        super().__init__(tuning.parameters(), train)
        self._codec, self._anchor, self._valid = codec, anchor, list(valid)
        self._dropout, self._piece = dropout, 64

    def losses(self, rows: Sequence[int], generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the loss of a few problems at a time."""
        yield from self._pieces([self.rows[i] for i in rows], generator)

    def validate(self) -> float:
        """Return the reconstruction loss on held-out problems, without dropout."""
        return sum(float(piece) for piece in self._pieces(self._valid, None))

    def _pieces(
        self, rows: Sequence[Worked], generator: torch.Generator | None
    ) -> Iterator[Tensor]:
        lines = self._codec.lines
        total = sum(len(lines.sentence(s)) for worked in rows for s in worked.sentences)
        for at in range(0, len(rows), self._piece):
            some = rows[at : at + self._piece]
            yield self._loss(some, generator, total, len(some) / len(rows))

    def _loss(
        self, rows: Sequence[Worked], generator: torch.Generator | None, total: int, share: float
    ) -> Tensor:
        vectors = torch.cat(self._codec.problem_vectors(rows))
        sentences = [s for worked in rows for s in worked.sentences]
        given = dropped(vectors, self._dropout, generator)
        targets = [self._codec.lines.sentence(s) for s in sentences]
        loss = self._codec.token_losses(given, targets)[0].sum() / total
        if self._anchor is None or generator is None:
            return loss
        wanted = self._anchor.encode(sentences)
        return loss + ANCHOR_WEIGHT * share * info_nce(vectors, wanted, sentences)


def dropped(
    vectors: Float[Tensor, "n d_model"], share: float, generator: torch.Generator | None
) -> Float[Tensor, "n d_model"]:
    """Set a share of the numbers to zero and stretch the rest; nothing without a generator."""
    if generator is None or share == 0:
        return vectors
    noise = torch.rand(vectors.shape, generator=generator).to(vectors.device)
    return vectors * (noise >= share) / (1 - share)
