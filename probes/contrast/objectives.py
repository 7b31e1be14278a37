"""What the training loop needs: likelihood of responses, and preference between pairs."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from probes.contrast.losses import contrast, paper_loss, released_loss
from probes.contrast.sequences import Responses, Row, response_logits, token_logprobs
from workbench.model.model import Model
from workbench.training.adapter import Adapter
from workbench.training.objective import RowObjective, RowT

Form = Literal["paper", "as-released"]


class AdapterObjective(RowObjective[RowT], ABC):
    """The mean over rows of a loss, which an adapter is trained to lower."""

    def __init__(
        self, adapter: Adapter, rows: Sequence[RowT], held_out: Sequence[RowT], *, at_once: int
    ) -> None:
        """Train an adapter on some rows, validate it on others."""
        super().__init__(adapter.parameters(), rows)
        self.adapter, self.at_once, self.held_out = adapter, at_once, held_out

    @abstractmethod
    def loss(self, rows: Sequence[RowT]) -> Float[Tensor, " batch"]:
        """Return the loss of each row."""

    def losses(self, rows: Sequence[int], generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the loss in pieces of a few rows each."""
        with self.adapter.training(generator):
            for part in _parts(rows, self.at_once):
                yield self.loss([self.rows[i] for i in part]).sum() / len(rows)

    @torch.no_grad()
    def validate(self) -> float:
        """Return the mean over held-out rows."""
        parts = _parts(range(len(self.held_out)), self.at_once)
        losses = [self.loss([self.held_out[i] for i in part]) for part in parts]
        return float(torch.cat(losses).mean())


class Likelihood(AdapterObjective[Row]):
    """Mean negative log-likelihood of response tokens, in nats; every response counts alike."""

    def loss(self, rows: Sequence[Row]) -> Float[Tensor, " batch"]:
        """Return the loss of each response."""
        sums = token_logprobs(self.adapter.model, rows).sum(dim=1)
        return -sums / sums.new_tensor([len(row.response) for row in rows])


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """A chosen and a rejected response to one question.

    `chosen_reference` and `rejected_reference` are their tokens' log-probabilities under the
    reference model; `weights` is what each rejected token counts: 1 − s, or 1 in DPO.
    """

    chosen: Row
    rejected: Row
    chosen_reference: Float[Tensor, " pos"]
    rejected_reference: Float[Tensor, " other"]
    weights: Float[Tensor, " other"]


class Preference(AdapterObjective[Pair]):
    """A preference loss over pairs: DPO if all weights are one, cDPO if they are 1 − s."""

    def __init__(
        self,
        adapter: Adapter,
        rows: Sequence[Pair],
        held_out: Sequence[Pair],
        *,
        gamma: float,
        form: Form,
        at_once: int,
    ) -> None:
        """Train an adapter on some pairs, of two rows each, and validate it on others."""
        super().__init__(adapter, rows, held_out, at_once=max(1, at_once // 2))
        self.gamma, self.form = gamma, form

    def loss(self, rows: Sequence[Pair]) -> Float[Tensor, " batch"]:
        """Return the loss of each pair."""
        now = token_logprobs(
            self.adapter.model, [p.chosen for p in rows] + [p.rejected for p in rows]
        )
        before = _stack([*(p.chosen_reference for p in rows),
                         *(p.rejected_reference for p in rows)], now)  # fmt: skip
        chosen, rejected = (now - before).chunk(2)
        weights = _stack([p.weights for p in rows], now)
        if self.form == "paper":
            return paper_loss(chosen, rejected, weights, self.gamma)
        lengths = [max(len(p.chosen.response), len(p.rejected.response)) for p in rows]
        return released_loss(chosen, rejected, weights, self.gamma, now.new_tensor(lengths))


def reference_logprobs(model: Model, rows: Sequence[Row], at_once: int) -> list[Tensor]:
    """Return each response's token log-probabilities without gradients, in nats."""
    found: list[Tensor] = []
    with torch.no_grad():
        for part in _parts(range(len(rows)), at_once):
            some = [rows[i] for i in part]
            found += _cut(token_logprobs(model, some), some)
    return found


def contrastive_scores(
    positive: Model, negative: Model, rows: Sequence[Row], *, beta: float, at_once: int
) -> list[Tensor]:
    """Return log s of each response's tokens, in nats."""
    found: list[Tensor] = []
    with torch.no_grad():
        for part in _parts(range(len(rows)), at_once):
            some = [rows[i] for i in part]
            logs = contrast(response_logits(positive, some), response_logits(negative, some), beta)
            found += _cut(Responses.of(some, logs.device).pick(logs), some)
    return found


def _cut(x: Tensor, rows: Sequence[Row]) -> list[Tensor]:
    return [values[: len(row.response)].cpu() for values, row in zip(x, rows, strict=True)]


def _stack(values: Sequence[Tensor], like: Tensor) -> Float[Tensor, "batch pos"]:
    stacked = like.new_zeros(len(values), like.shape[1])
    for i, value in enumerate(values):
        stacked[i, : len(value)] = value.to(stacked)
    return stacked


def _parts(items: Sequence[int], size: int) -> list[Sequence[int]]:
    return [items[i : i + size] for i in range(0, len(items), size)]
