"""Caches of what a model has seen: made as the model needs them, branched, and cut to rows."""

import copy
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Int
from torch import Tensor, nn

from workbench.errors import Unsupported
from workbench.model.backends.twin import twin

_KEYS_ONLY = {"full_attention", "sliding_attention", "chunked_attention", "attention"}
_OWN: "WeakKeyDictionary[nn.Module, Any]" = WeakKeyDictionary()


def new_cache(module: nn.Module | None = None) -> Any:
    """Return an empty cache that keeps every position of every attention layer.

    Layers with a recurrent or convolutional state keep that state. Without a module every layer
    is taken for attention.

    Raises:
        Unsupported: the model keeps what it has seen in a form that cannot be made anew.
    """
    from transformers import DynamicCache

    config: Any = getattr(module, "config", None)
    if module is None or config is None or has_attention_alone(module):
        return DynamicCache()
    if module not in _OWN:
        _OWN[module] = _own_kind(module)
    kind = _OWN[module]
    if kind is None:
        raise Unsupported(
            f"{type(module).__name__} keeps what it has seen in a form of its own",
            hint="generation runs the whole text again at every step instead",
        )
    return _every_position(DynamicCache(config=config)) if kind is DynamicCache else kind()


def new_key_value_cache(module: nn.Module) -> Any:
    """Return an empty cache to which any number of tokens may be added at once.

    Raises:
        Unsupported: some layer keeps a state that is not keys and values.
    """
    if not has_attention_alone(module):
        raise Unsupported(
            f"{type(module).__name__} has layers whose state is not keys and values; several "
            "tokens at once cannot be added to it",
            hint="use a model with attention in every layer",
        )
    return new_cache(module)


def has_attention_alone(module: nn.Module) -> bool:
    """Whether every layer keeps keys and values and nothing else, as far as the settings say."""
    config: Any = getattr(module, "config", None)
    text = config.get_text_config(decoder=True) if config is not None else None
    shared = getattr(text, "kv_sharing_modes", None) or getattr(text, "num_kv_shared_layers", 0)
    return not shared and set(getattr(text, "layer_types", None) or ()) <= _KEYS_ONLY


def _own_kind(module: nn.Module) -> Any:
    """Return the class of cache that the model makes for itself, None if there is none."""
    from transformers import Cache

    model: Any = twin(module)
    ids = torch.zeros((1, 1), dtype=torch.long, device=next(model.parameters()).device)
    with torch.no_grad():
        out = model(input_ids=ids, use_cache=True)
    made = getattr(out, "past_key_values", None)
    return type(made) if isinstance(made, Cache) else None


def _every_position(cache: Any) -> Any:
    """Let sliding layers keep what has left their window; masks hide it, branches need it."""
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    cache.layers = [
        DynamicLayer() if type(layer) is DynamicSlidingWindowLayer else layer
        for layer in cache.layers
    ]
    return cache


def fork_cache(cache: Any) -> Any:
    """Return a cache that can grow on its own.

    Keys and values are shared, as growing replaces them; states that a step overwrites are copied.
    """
    forked = copy.copy(cache)
    for name, held in vars(cache).items():
        if isinstance(held, list | dict) and name != "layers":
            setattr(forked, name, _copied(held))
    forked.layers = [_fork_layer(layer) for layer in cache.layers]
    return forked


def _fork_layer(layer: Any) -> Any:
    from transformers.cache_utils import DynamicLayer

    forked = copy.copy(layer)
    if type(layer) is not DynamicLayer:
        for name, held in vars(layer).items():
            if name not in ("keys", "values"):
                setattr(forked, name, _copied(held))
    return forked


def _copied(held: Any) -> Any:
    if isinstance(held, Tensor):
        return held.clone()
    if isinstance(held, dict):
        return {key: _copied(value) for key, value in held.items()}
    return [_copied(value) for value in held] if isinstance(held, list) else held


def select_cache(cache: Any, rows: Int[Tensor, " kept"]) -> Any:
    """Keep those rows of a cache, in place, and return it; a row named often is kept often."""
    for name, held in vars(cache).items():
        if isinstance(held, list) and name != "layers":
            kept = [x[rows.to(x.device)] if isinstance(x, Tensor) else x for x in held]
            setattr(cache, name, kept)
    for layer in cache.layers:
        _select_layer(layer, rows)
    return cache


def _select_layer(layer: Any, rows: Tensor) -> None:
    if isinstance(getattr(layer, "keys", None), Tensor):
        layer.batch_select_indices(rows.to(layer.keys.device))
    for name in ("conv_states", "recurrent_states"):
        states: dict[int, Tensor | None] = getattr(layer, name, {})
        for index, state in states.items():
            states[index] = None if state is None else state[rows.to(state.device)]


def repeat_cache(cache: Any, times: int, rows: int) -> Any:
    """Repeat each of `rows` rows of a cache, in place, next to itself, and return it."""
    return select_cache(cache, torch.arange(rows).repeat_interleave(times))
