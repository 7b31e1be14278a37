"""A copy of a model whose attention windows are short enough to be left within a few tokens."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from workbench.errors import Unsupported
from workbench.model.backends.torch_hooks import HooksBackend
from workbench.model.backends.twin import twin
from workbench.model.model import Model
from workbench.model.subject import Subject

_WINDOWS = ("sliding_window", "attention_chunk_size", "attention_window_size", "window_size")
_LARGEST, _NARROW = 64, 8


def smallest_window(module: nn.Module) -> int | None:
    """Return the smallest number of positions that some layer of a model looks back over."""
    return min(_windows(module), default=None)


def narrowed(model: Subject) -> Model:
    """Return a model with the same weights and windows of 8 positions, or the model itself.

    Windows of up to 64 positions are tried as they are. Nothing of the model is changed.
    """
    if not isinstance(model, Model):
        raise Unsupported(f"{model.spec.name} is not a whole model")
    backend = model.backend
    if (
        not isinstance(backend, HooksBackend)
        or max(_windows(backend.module), default=0) <= _LARGEST
    ):
        return model
    module = twin(backend.module)
    for holder in _holders(module):
        for name in _WINDOWS:
            if _is_window(vars(holder).get(name)):
                setattr(holder, name, _NARROW)
    return Model(
        spec=model.spec,
        tokenizer=model.tokenizer,
        backend=HooksBackend(module, model.tokenizer, backend.paths),
        checked_as=model,
    )


def _windows(module: nn.Module) -> list[int]:
    held = (vars(holder).get(name) for holder in _holders(module) for name in _WINDOWS)
    return [window for window in held if _is_window(window)]


def _is_window(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _holders(module: nn.Module) -> Iterator[Any]:
    config: Any = getattr(module, "config", None)
    if config is not None:
        yield config
        yield config.get_text_config(decoder=True)
    yield from module.modules()
