"""Keys and values of a denoiser from step to step: how far they move, and reuse of stable ones."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class KeyValueReuse:
    """Watches every projection to keys and values; at each step reuses those that are stable.

    A position is stable in a layer once its vector has moved by less than `tolerance` in a step
    (1 − cosine), until the token at that position changes. With a tolerance of zero none ever is,
    so that nothing changes. What is reused is computed all the same, to tell how far it is off.

    Source: FreeCache, arXiv:2505.21467, section 4, which reuses those of clean tokens without a
    measurement of each.
    """

    def __init__(self, pairs: Sequence[tuple[nn.Module, nn.Module]], tolerance: float) -> None:
        """Watch the projections of all layers."""
        self._modules = [module for pair in pairs for module in pair]
        self._tolerance = tolerance
        self._used: list[Tensor | None] = [None] * len(self._modules)
        self._stable: list[Tensor | None] = [None] * len(self._modules)
        self._drift: list[Tensor | None] = [None] * len(self._modules)
        self._kept: list[Tensor | None] = [None] * len(self._modules)
        self._changed: Tensor | None = None

    @contextmanager
    def step(self, changed: Bool[Tensor, "batch pos"] | None) -> Iterator[None]:
        """Run one step within; `changed` are the tokens that differ from those of the last step."""
        self._changed = changed
        hooks = [m.register_forward_hook(self._hook(i)) for i, m in enumerate(self._modules)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @property
    def drift(self) -> Float[Tensor, "kind layer batch pos"] | None:
        """1 − cosine of what was used before and what is now computed, keys then values."""
        found = [one for one in self._drift if one is not None]
        if not found:
            return None
        return torch.stack([torch.stack(found[::2]), torch.stack(found[1::2])])

    @property
    def reused(self) -> Float[Tensor, " batch"] | None:
        """The share of keys and values of each row that were reused in the last step."""
        found = [one for one in self._kept if one is not None]
        return torch.stack(found).double().mean(dim=(0, 2)) if found else None

    def _hook(self, i: int) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def visit(module: nn.Module, args: Any, fresh: Tensor) -> Tensor:
            before, stable = self._used[i], self._stable[i]
            if before is None or self._changed is None:
                self._stable[i] = torch.zeros(fresh.shape[:2], dtype=torch.bool)
                self._used[i] = fresh
                return fresh
            drift = _distance(before, fresh)
            keep = torch.zeros_like(self._changed) if stable is None else stable & ~self._changed
            used = torch.where(keep[..., None], before, fresh)
            self._stable[i] = keep | ((drift < self._tolerance) & ~self._changed)
            self._used[i], self._drift[i], self._kept[i] = used, drift, keep
            return used

        return visit


def _distance(
    one: Float[Tensor, "batch pos d_model"], other: Float[Tensor, "batch pos d_model"]
) -> Float[Tensor, "batch pos"]:
    cosine = nn.functional.cosine_similarity(one.double(), other.double(), dim=-1)
    return (1 - cosine).clamp(min=0)
