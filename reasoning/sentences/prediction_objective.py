"""Training the latent model: from a question and sentence vectors to the next vector."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reasoning.sentences.contrast import info_nce
from reasoning.sentences.embedding_objective import dropped
from workbench.training.codec import SentenceCodec
from workbench.training.latent import LatentModel
from workbench.training.lines import Worked
from workbench.training.network import Tuning
from workbench.training.objective import RowObjective

_PIECE = 64


@dataclass(frozen=True, kw_only=True)
class PredictionOptions:
    """How the latent model is trained.

    `contrast` weighs InfoNCE. `noise` is the noise-to-signal ratio of the vectors fed in, added
    in half of the batches. `feedback` is the share of problems fed the model's own outputs
    instead of encoded sentences, made over `passes` forward passes.
    """

    contrast: float = 1.0
    dropout: float = 0.2
    noise: float = 0.0
    feedback: float = 0.5
    passes: int = 2


class PredictionObjective(RowObjective[Worked]):
    """Loss of the true sentence under the frozen decoder, in nats per token, and InfoNCE.

    Vectors of the training sentences are encoded once. Validation feeds the model nothing but
    its own outputs, as continuous reasoning does, and adds the stop head's loss.

    Source: arXiv:2505.22202, section 3.3. We differ: see `LatentHeads`; feeding back while
    training is ours, and the stop head is trained beside the model, on outputs it cannot change.
    """

    def __init__(
        self,
        tuning: Tuning,
        latent: LatentModel,
        codec: SentenceCodec,
        train: Sequence[Worked],
        valid: Sequence[Worked],
        options: PredictionOptions,
    ) -> None:
        """Encode every sentence once with the frozen codec."""
        heads = {f"heads.{name}": p for name, p in latent.heads.named_parameters()}
        super().__init__({**tuning.parameters(), **heads}, train)
        self._latent, self._codec, self._options = latent, codec, options
        codec.network.freeze()
        self._valid, self._vectors = list(valid), encoded(codec, train)
        self._longest = max(len(w.sentences) for w in [*train, *valid])

    def losses(self, rows: Sequence[int], generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the loss of a few problems at a time."""
        noisy = bool(torch.rand((), generator=generator) < 0.5)
        for at in range(0, len(rows), _PIECE):
            some = rows[at : at + _PIECE]
            yield self._loss(some, generator, noisy=noisy) * len(some) / len(rows)

    def validate(self) -> float:
        """Return the loss of held-out problems reasoned in vectors alone, and of the stop head."""
        total = 0.0
        for at in range(0, len(self._valid), _PIECE):
            rows = self._valid[at : at + _PIECE]
            fed = self._fed_back(rows, self._empty(rows), self._longest)
            found = self._latent.forward(self._questions(rows), fed)
            loss = self._reconstruction(rows, torch.cat(found)) + self._stopping(rows, found)
            total += float(loss) * len(rows)
        return total / len(self._valid)

    def _loss(self, rows: Sequence[int], generator: torch.Generator, *, noisy: bool) -> Tensor:
        problems = [self.rows[i] for i in rows]
        heads, options = self._latent.heads, self._options
        vectors = [self._vectors[i].to(self._codec.network.device) for i in rows]
        given = vectors
        if noisy and options.noise > 0:
            given = [disturbed(v, options.noise, generator) for v in vectors]
        fed = [heads.shared(dropped(heads.p_in(v[:-1]), options.dropout, generator)) for v in given]
        fed = self._mixed(problems, fed, generator)
        found = self._latent.forward(self._questions(problems), fed)
        joined = torch.cat(found)
        loss = self._reconstruction(problems, joined, generator) + self._stopping(problems, found)
        if options.contrast > 0:
            names = [s for w in problems for s in w.sentences]
            wanted = heads.p_in(torch.cat(vectors))
            loss = loss + options.contrast * info_nce(joined, wanted, names)
        return loss

    def _mixed(
        self, rows: Sequence[Worked], fed: list[Tensor], generator: torch.Generator
    ) -> list[Tensor]:
        """Replace the vectors of some problems by what the model itself would have fed on."""
        own = torch.rand(len(rows), generator=generator) < self._options.feedback
        if not bool(own.any()):
            return fed
        chosen = [i for i, use in enumerate(own.tolist()) if use]
        with torch.no_grad():
            mine = self._fed_back(
                [rows[i] for i in chosen], [fed[i].detach() for i in chosen], self._options.passes
            )
        replaced = dict(zip(chosen, mine, strict=True))
        return [replaced.get(i, one) for i, one in enumerate(fed)]

    def _fed_back(self, rows: Sequence[Worked], fed: list[Tensor], passes: int) -> list[Tensor]:
        """Feed outputs back pass by pass; after k passes the first k are those of a rollout."""
        for _ in range(min(passes, self._longest - 1)):
            found = self._latent.forward(self._questions(rows), fed)
            fed = [self._latent.heads.shared(f[:-1]) for f in found]
        return fed

    def _empty(self, rows: Sequence[Worked]) -> list[Tensor]:
        device = self._codec.network.device
        return [torch.zeros(len(w.sentences) - 1, self._codec.d_model, device=device) for w in rows]

    def _reconstruction(
        self,
        rows: Sequence[Worked],
        found: Float[Tensor, "n d_model"],
        generator: torch.Generator | None = None,
    ) -> Tensor:
        targets = [self._codec.lines.sentence(s) for w in rows for s in w.sentences]
        left = self._latent.heads.p_out(dropped(found, self._options.dropout, generator))
        losses, mask = self._codec.token_losses(left, targets)
        mean: Tensor = losses.sum() / mask.sum()
        return mean

    def _stopping(self, rows: Sequence[Worked], found: Sequence[Tensor]) -> Tensor:
        logits = self._latent.heads.stop_logit(torch.cat(list(found)).detach())
        last = [t + 1 == len(w.sentences) for w in rows for t in range(len(w.sentences))]
        wanted = torch.tensor(last, device=logits.device, dtype=logits.dtype)
        return nn.functional.binary_cross_entropy_with_logits(logits, wanted)

    def _questions(self, rows: Sequence[Worked]) -> list[list[int]]:
        return [self._codec.lines.question(w.question) for w in rows]


def disturbed(
    vectors: Float[Tensor, "n d_model"], ratio: float, generator: torch.Generator
) -> Float[Tensor, "n d_model"]:
    """Add Gaussian noise of that length relative to each vector, on average."""
    noise = torch.randn(vectors.shape, generator=generator).to(vectors.device)
    length = vectors.norm(dim=-1, keepdim=True)
    longer: Tensor = vectors + noise * (ratio * length / math.sqrt(vectors.shape[-1]))
    return longer


@torch.no_grad()
def encoded(codec: SentenceCodec, rows: Sequence[Worked], at_once: int = 64) -> list[Tensor]:
    """Return the sentence vectors of every problem, on the CPU."""
    found: list[Tensor] = []
    for at in range(0, len(rows), at_once):
        found += [v.cpu() for v in codec.problem_vectors(rows[at : at + at_once])]
    return found
