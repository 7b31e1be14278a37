"""One model under each of the attention implementations that transformers has for it."""

import copy
from typing import Any

import torch
from torch import nn

from workbench.model.backends.twin import twin

_ATTENTION = ("eager", "sdpa")


def implementations(module: nn.Module) -> dict[str, Any]:
    """Return weight-sharing copies of a model by attention implementation, its own at least."""
    switched = {name: _switched(module, name) for name in _ATTENTION}
    known = {name: found for name, found in switched.items() if found is not None}
    own: Any = module
    return known or {str(own.config._attn_implementation): twin(module)}


def _switched(module: Any, attention: str) -> Any:
    if module.config._attn_implementation == attention:
        return twin(module)
    found = twin(module)
    try:
        found.set_attn_implementation(attention)
    except ValueError:
        return None
    if found.config._attn_implementation == attention and found._can_set_attn_implementation():
        return found
    return _rebuilt(module, attention)


def _rebuilt(module: Any, attention: str) -> Any:
    """Build the model anew; older ones choose the class of their attention when they are built."""
    try:
        with torch.random.fork_rng(devices=[]):
            made = type(module)._from_config(
                copy.deepcopy(module.config), attn_implementation=attention, dtype=module.dtype
            )
        made.load_state_dict(module.state_dict(), assign=True)
    except (ValueError, TypeError, RuntimeError, AttributeError, ImportError):
        return None
    made.tie_weights()
    same = made.config._attn_implementation == attention
    return made.to(module.device).eval() if same else None
