"""Tensors of a pretend accelerator: computed on the processor, each request counted by line."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch import Tensor

DEVICE = torch.device("cuda", 0)
_OURS = ("workbench", "probes", "reasoning")
_OWN = (__name__, "workbench.runs.bench.counting_device")

# What hands a value or a size that only the device knows to the host.
_SYNCS = {
    "_local_scalar_dense": 1,
    "equal": 1,
    "nonzero": 1,
    "masked_select": 1,
    "unique_consecutive": 1,
    "unique_dim": 1,
    "_unique2": 1,
    "bincount": 1,
    "repeat_interleave": 1,
    "_linalg_eigh": 1,
    "_linalg_svd": 1,
    "multinomial": 2,  # looks for negative numbers and for rows without mass
}
_NO_KERNEL = {"_unsafe_view", "lift_fresh", "empty", "empty_like", "empty_strided", "new_empty"}


@dataclass(kw_only=True, eq=False)
class Counts:
    """Kernels launched, blocking syncs, and copies to the device, by the line that asked."""

    kernels: Counter[str] = field(default_factory=Counter)
    syncs: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    per: int = 1

    def totals(self) -> dict[str, float]:
        """Return how many there were of each."""
        return {name: sum(found.values()) / self.per for name, found in self.lines().items()}

    def lines(self) -> dict[str, Counter[str]]:
        """Return what each line asked for, before it is divided by `per`."""
        return {"kernels": self.kernels, "syncs": self.syncs, "copies": self.copies}

    def less(self, other: "Counts", per: int) -> "Counts":
        """Return what this has beyond another, in `per` equal parts."""
        mine, theirs = self.lines(), other.lines()
        return Counts(**{name: mine[name] - theirs[name] for name in mine}, per=per)


ACTIVE: list[Counts] = []


class DeviceTensor(torch.Tensor):
    """A tensor of the pretend device; `held` has its values on the processor."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "DeviceTensor":
        """Make a tensor of that shape that dispatches as one on the device."""
        empty = torch.empty_strided(held.shape, held.stride(), dtype=held.dtype, device="meta")
        made: DeviceTensor = torch.Tensor._make_subclass(
            cls, empty, False, dispatch_device=True, device_for_backend_keys=DEVICE
        )
        return made

    def __init__(self, held: Tensor) -> None:
        """Hold the values."""
        self.held = held

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """The pretend device."""
        return DEVICE

    def __deepcopy__(self, memo: dict[int, Any]) -> "DeviceTensor":
        """Return a copy on the device."""
        made: DeviceTensor = memo.setdefault(id(self), DeviceTensor(self.held.clone()))
        return made

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        """Say the shape alone; the values are on the device."""
        return f"DeviceTensor{tuple(self.shape)}"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Compute on the processor and count."""
        return _computed(func, args, kwargs or {})

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]


def each(change: Callable[[Any], Any], x: Any) -> Any:
    """Change every leaf of the lists, tuples and dictionaries that operators take and return."""
    if isinstance(x, dict):
        return {name: each(change, value) for name, value in x.items()}
    return type(x)([each(change, value) for value in x]) if type(x) in (list, tuple) else change(x)


def is_here(x: object) -> bool:
    """Whether something is a tensor of the device."""
    return isinstance(x, DeviceTensor)


def values_of(x: Any) -> Any:
    """Return the values of a tensor of the device, and anything else as it is."""
    return x.held if isinstance(x, DeviceTensor) else x


def placed(x: Any) -> Any:
    """Put a tensor on the device, and return anything else as it is."""
    return DeviceTensor(x) if isinstance(x, Tensor) and not is_here(x) else x


def _computed(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    name = func.overloadpacket.__name__
    if name == "device":
        return torch.device("cpu")
    given, named = each(values_of, args), each(values_of, kwargs)
    target = kwargs.get("device")
    if target is not None:
        named["device"] = torch.device("cpu")
        if name == "_to_copy" and torch.device(target).type == "cpu":
            count("syncs")
            return func(*given, **named)
    if name == "copy_" and not (is_here(args[0]) and is_here(args[1])):
        count("copies" if is_here(args[0]) else "syncs")
        func(*given, **named)
        return args[0]
    count("syncs", _SYNCS.get(name, 0) + _hidden_syncs(name, given))
    count("copies", _copied_indices(name, args))
    if not (func.is_view or name in _NO_KERNEL or name == "_local_scalar_dense"):
        count("kernels")
    found = func(*given, **named)
    if name.endswith("_") and is_here(args[0]):
        return args[0]
    return named_out if (named_out := kwargs.get("out")) is not None else each(placed, found)


def _hidden_syncs(name: str, args: Sequence[Any]) -> int:
    """Return 1 where an index is a mask, whose number of places only the device knows."""
    if name not in ("index", "index_put", "index_put_"):
        return 0
    masks = (i for i in args[1] if isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8))
    return int(any(True for _ in masks))


def _copied_indices(name: str, args: Sequence[Any]) -> int:
    if name not in ("index", "index_put", "index_put_"):
        return 0
    return sum(isinstance(i, Tensor) and not is_here(i) for i in args[1])


def count(kind: str, n: int = 1) -> None:
    """Count kernels, syncs or copies for the line of the project that is being run."""
    if n and ACTIVE:
        getattr(ACTIVE[-1], kind)[_line()] += n


def _line() -> str:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in _OURS and module not in _OWN:
            return f"{module}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back
    return "elsewhere"
