"""Attention patterns, read or edited without changing how the rest of the model computes."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.errors import Unsupported

Visit = Callable[[Tensor], Tensor]

_WATCHED: "WeakKeyDictionary[nn.Module, Visit]" = WeakKeyDictionary()
_NAMES = {"eager": "workbench_eager", "sdpa": "workbench_sdpa"}


@contextmanager
def watched_patterns(model: Any, visits: Mapping[nn.Module, Visit]) -> Iterator[None]:
    """Show each named attention module's pattern to its visit, which may change it.

    Kernels that never form a pattern run as always; the pattern is computed beside them, from
    the same queries and keys. Only where a visit changes it is it used to average the values.
    Kernels other than `sdpa` give way to eager attention for this pass.

    Raises:
        Unsupported: the architecture has no attention that can be switched.
    """
    if not visits:
        yield
        return
    _register()
    before = model.config._attn_implementation
    if not model._can_set_attn_implementation():
        raise Unsupported(
            f"{type(model).__name__} computes attention in its own code, which shows no patterns",
            hint="read another kind of site",
        )
    _WATCHED.update(visits)
    model.set_attn_implementation(_NAMES.get(before, _NAMES["eager"]))
    try:
        yield
    finally:
        model.set_attn_implementation(before)
        for module in visits:
            del _WATCHED[module]


def _eager(module: nn.Module, *tensors: Any, **options: Any) -> tuple[Tensor, Tensor]:
    home = sys.modules[type(module).__module__]
    attend = getattr(home, "eager_attention_forward", None)
    if attend is None:
        raise Unsupported(f"{type(module).__name__} has no attention that shows its pattern")
    found: tuple[Tensor, Tensor] = attend(module, *tensors, **options)
    return found


def _attend_eager(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    **options: Any,
) -> tuple[Tensor, Tensor]:
    # Some models give the mask by this name.
    out, pattern = _eager(module, query, key, value, attention_mask, **options)
    return _visited(module, out, pattern, value)


def _attend_sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    out = ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, attention_mask, **options)[0]
    if module not in _WATCHED:
        return out, None
    _, pattern = _eager(module, query, key, value, _additive(attention_mask, query, key), **options)
    return _visited(module, out, pattern, value)


def _visited(
    module: nn.Module, out: Tensor, pattern: Tensor, value: Tensor
) -> tuple[Tensor, Tensor]:
    visit = _WATCHED.get(module)
    changed = pattern if visit is None else visit(pattern)
    if changed is pattern:
        return out, pattern
    values = value.repeat_interleave(changed.shape[1] // value.shape[1], dim=1)
    averaged = torch.matmul(changed, values).transpose(1, 2)
    # Queries whose pattern stayed keep every bit of what the kernel gave them.
    touched = (changed != pattern).any(dim=-1).transpose(1, 2)[..., None]
    # Some models view what comes back, which needs it to lie in one piece.
    return torch.where(touched, averaged, out).contiguous(), changed


def _additive(
    mask: Bool[Tensor, "batch one pos seen"] | None, query: Tensor, key: Tensor
) -> Float[Tensor, "#batch one pos seen"]:
    """Write a mask of `sdpa`, where None is causal, as what eager attention adds to its scores."""
    n_pos, n_seen = query.shape[2], key.shape[2]
    if mask is None:
        every = torch.ones(1, 1, n_pos, n_seen, dtype=torch.bool, device=query.device)
        mask = every.tril(n_seen - n_pos)
    added = torch.zeros(mask.shape, dtype=query.dtype, device=query.device)
    return added.masked_fill(~mask, torch.finfo(query.dtype).min)


@cache
def _register() -> None:
    # Not at import: wrong input is to be found before the modelling code takes its seconds.
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask, sdpa_mask

    AttentionInterface.register(_NAMES["eager"], _attend_eager)
    AttentionMaskInterface.register(_NAMES["eager"], eager_mask)
    AttentionInterface.register(_NAMES["sdpa"], _attend_sdpa)
    AttentionMaskInterface.register(_NAMES["sdpa"], sdpa_mask)
