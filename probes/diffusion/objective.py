"""What the training loop needs to train a network that fills in hidden tokens."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from workbench.model.denoiser import run_both_ways

_AT_ONCE = 128
_WHOLE = 4  # one row in so many hides its question as well


class MaskedObjective:
    """Cross-entropy of hidden tokens, as many as a uniform draw says, both directions in sight.

    The mean over k ~ U{1, …, L} hidden tokens of the mean cross-entropy among them is the bound on
    −log p of masked diffusion, in nats per token. In one row of four the question is hidden with
    the response, so that the network also models questions.

    Source: the order-agnostic form of the bound, Nie et al. 2025, arXiv:2502.09992, equation 3.
    """

    def __init__(
        self,
        module: Any,
        rows: Int[Tensor, "n pos"],
        held_out: Int[Tensor, "m pos"],
        *,
        mask: int,
        fixed: int,
        draw: torch.Generator,
    ) -> None:
        """Train a module in place; the first `fixed` tokens of each row are its question."""
        self.module = module.requires_grad_(True)
        self._rows, self._held, self._fixed, self._mask = rows, held_out, fixed, mask
        self._hidden = self._hide(held_out, draw, questions=False)

    @property
    def n_rows(self) -> int:
        """The number of training rows."""
        return len(self._rows)

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The weights of the network."""
        return dict(self.module.named_parameters())

    def losses(self, rows: Sequence[int], generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the loss of those rows under a new draw of what is hidden."""
        ids = self._rows[list(rows)]
        yield self._loss(ids, self._hide(ids, generator, questions=True)).mean()

    def validate(self) -> float:
        """Return the bound on −log p of held-out responses, in nats per token."""
        parts = zip(self._held.split(_AT_ONCE), self._hidden.split(_AT_ONCE), strict=True)
        return float(torch.cat([self._loss(*part) for part in parts]).mean())

    def _hide(
        self, ids: Int[Tensor, "batch pos"], draw: torch.Generator, *, questions: bool
    ) -> Bool[Tensor, "batch pos"]:
        n, width = ids.shape
        order = torch.rand(n, width, generator=draw)
        whole = torch.rand(n, generator=draw) < (1 / _WHOLE if questions else 0.0)
        order[~whole, : self._fixed] = torch.inf
        most = torch.where(whole, width, width - self._fixed)
        many = (torch.rand(n, generator=draw) * most).long() + 1
        return order.argsort(dim=1).argsort(dim=1) < many[:, None]

    def _loss(
        self, ids: Int[Tensor, "batch pos"], hidden: Bool[Tensor, "batch pos"]
    ) -> Float[Tensor, " batch"]:
        logits = run_both_ways(self.module, ids.masked_fill(hidden, self._mask)).logits
        each = nn.functional.cross_entropy(logits.transpose(1, 2), ids, reduction="none")
        return (each * hidden).sum(dim=1) / hidden.sum(dim=1)


class LeftToRightObjective(MaskedObjective):
    """Cross-entropy of the next token: the guide that knows the joint distribution."""

    def _loss(
        self, ids: Int[Tensor, "batch pos"], hidden: Bool[Tensor, "batch pos"]
    ) -> Float[Tensor, " batch"]:
        logits = self.module(input_ids=ids, use_cache=False).logits[:, :-1]
        each = nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        return each.mean(dim=1)
