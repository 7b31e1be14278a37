"""A pretend accelerator: its tensors say `cuda`, are computed on the processor, and are counted.

A fast device waits for its host: for launches of kernels, for blocking syncs (`.item()`, `.cpu()`,
`nonzero`) and for copies of small tensors. They are counted here without such a device, each with
the line of the project that asked for it. Code must make its tensors by `device=…` or `.to(…)`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from workbench.model.backends.torch_hooks import HooksBackend
from workbench.model.backends.twin import twin
from workbench.model.model import Model
from workbench.runs.bench.device_tensor import (
    ACTIVE,
    DEVICE,
    Counts,
    DeviceTensor,
    count,
    each,
    is_here,
    placed,
    values_of,
)

_FROM_HOST = {"tensor", "as_tensor"}


class _Generator(torch.Generator):
    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return DEVICE


class CountingDevice(TorchFunctionMode):
    """Counts what is asked of the pretend device inside; `counts` has it line by line."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        super().__init__()
        self.counts = Counts()

    def __enter__(self) -> "CountingDevice":
        """Begin to count; generators of the device are made on the processor."""
        ACTIVE.append(self.counts)
        self._generator = torch.Generator
        torch.Generator = _generator  # type: ignore[misc, assignment]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *about: Any) -> None:
        """Count no further."""
        super().__exit__(*about)  # type: ignore[no-untyped-call]
        torch.Generator = self._generator  # type: ignore[misc]
        ACTIVE.pop()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Stand in for what would ask the real device."""
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in _STANDINS and args and isinstance(args[0], Tensor):
            return _STANDINS[name](func, *args, **kwargs)
        if _is_device(kwargs.get("device")):
            return _made(func, name, args, kwargs)
        return func(*args, **kwargs)


def on_counting_device(model: Model) -> Model:
    """Return a model on the pretend device that shares no state with the one on the processor.

    What the model can do is taken from the one that is given.
    """
    module = twin(model.backend.module)
    known: dict[int, DeviceTensor] = {}
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, x in tensors.items():
                if x is not None:
                    tensors[name] = known.setdefault(id(x), DeviceTensor(x.detach()))
    backend = HooksBackend(module, model.tokenizer, model.backend.paths)
    spec = replace(model.spec, device=DEVICE.type)
    return Model(spec=spec, tokenizer=model.tokenizer, backend=backend, checked_as=model)


@contextmanager
def counting() -> Iterator[Counts]:
    """Count what is asked of the pretend device inside, without gradients."""
    with CountingDevice() as device, torch.no_grad():
        yield device.counts


def _generator(device: Any = "cpu") -> torch.Generator:
    return _Generator() if _is_device(device) else _PLAIN_GENERATOR(device)


_PLAIN_GENERATOR = torch.Generator


def _made(func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Make a tensor of the device."""
    del kwargs["device"]
    if name in _FROM_HOST and args and is_here(args[0]):
        return func(*args, **kwargs)
    count("copies" if name in _FROM_HOST else "kernels", int(name != "empty"))
    return each(placed, func(*args, **kwargs))


def _to(func: Any, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Stand in for `Tensor.to`: a copy to the device, a sync from it, or a change of format."""
    given = [*args, kwargs.pop("device", None), kwargs.pop("dtype", None)]
    like = next((a for a in given if isinstance(a, Tensor)), None)
    places = [torch.device(a) for a in given if isinstance(a, str | torch.device)]
    formats = [a for a in given if isinstance(a, torch.dtype)]
    if like is not None:
        places, formats = [like.device], [like.dtype]
    dtype = formats[0] if formats else x.dtype
    if places and places[0].type == DEVICE.type and not is_here(x):
        count("copies")
        return DeviceTensor(x.detach().to(dtype, copy=True))
    if places and places[0].type == "cpu" and is_here(x):
        count("syncs")
        return values_of(x).to(dtype, copy=True)
    return func(x, dtype) if dtype != x.dtype else x


def _cpu(func: Any, x: Tensor, **_: Any) -> Tensor:
    if not is_here(x):
        return x
    count("syncs")
    held: Tensor = values_of(x)
    return held.clone()


def _tolist(func: Any, x: Tensor) -> Any:
    if is_here(x):
        count("syncs")
    return values_of(x).tolist()


def _attention(func: Any, *args: Any, **kwargs: Any) -> Any:
    if not any(map(is_here, args)):
        return func(*args, **kwargs)
    count("kernels")
    return placed(func(*each(values_of, args), **each(values_of, kwargs)))


def _numpy(func: Any, x: Tensor, **kwargs: Any) -> Any:
    if is_here(x):
        raise TypeError("can't convert a tensor of the device to numpy; use .cpu() first")
    return func(x, **kwargs)


_STANDINS: Mapping[str, Callable[..., Any]] = {
    "to": _to,
    "cpu": _cpu,
    "tolist": _tolist,
    "numpy": _numpy,
    "scaled_dot_product_attention": _attention,
}


def _is_device(device: object) -> bool:
    if isinstance(device, str | torch.device):
        return torch.device(device).type == DEVICE.type
    return False
