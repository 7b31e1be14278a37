"""Eager attention for one forward pass, with the pattern open to edits."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from workbench.errors import Unsupported

_NAME = "workbench_eager"
_CHANGES: "WeakKeyDictionary[nn.Module, Callable[[Tensor], Tensor]]" = WeakKeyDictionary()


@contextmanager
def eager_attention(module: Any) -> Iterator[None]:
    """Run the model with attention that computes its pattern, and switch back afterwards.

    Raises:
        Unsupported: the architecture has no eager attention to switch to.
    """
    before = module.config._attn_implementation
    name = _NAME if any(part in _CHANGES for part in module.modules()) else "eager"
    if before == name:
        yield
        return
    module.set_attn_implementation(name)
    if module.config._attn_implementation != name:
        raise Unsupported(
            f"{type(module).__name__} cannot switch its attention to eager",
            hint='load it with attn_implementation="eager"',
        )
    try:
        yield
    finally:
        module.set_attn_implementation(before)


@contextmanager
def edited_pattern(attention: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Pass the attention pattern of one module through `change` before it averages the values."""
    _CHANGES[attention] = change
    try:
        yield
    finally:
        del _CHANGES[attention]


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, **options: Any
) -> tuple[Tensor, Tensor]:
    eager = sys.modules[type(module).__module__].eager_attention_forward
    out, pattern = eager(module, query, key, value, mask, **options)
    change = _CHANGES.get(module)
    if change is None:
        return out, pattern
    pattern = change(pattern)
    groups = query.shape[1] // value.shape[1]
    spread = value.repeat_interleave(groups, dim=1) if groups > 1 else value
    return torch.matmul(pattern, spread).transpose(1, 2).contiguous(), pattern


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, eager_mask)
