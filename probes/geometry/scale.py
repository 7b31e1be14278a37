"""A power of two that brings vectors of any size to numbers whose squares can be added up."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

UNKNOWN = -9999
_ORDINARY = 24

# How often the size of the vectors multiplies each array of a state, and which index is the site.
_POWERS = {
    "moments.mean": (1, 0),
    "moments.scatter": (2, 0),
    "moments.group_mean": (1, 1),
    "moments.group_scatter": (2, 1),
    "texts.norm": (1, 0),
    "open.vector": (1, 0),
    "open.length": (1, 0),
    "reservoir.x": (1, 0),
    "longest": (1, 0),
}


def exponent_of(x: Float[Tensor, "n d_model"]) -> int | None:
    """Return e such that x · 2^−e is about one, 0 where x is ordinary, None where it is zero.

    Powers of two change no digit, so ordinary sizes are left as they are.
    """
    largest = float(x.abs().max()) if x.numel() else 0.0
    if largest == 0:
        return None
    e = math.frexp(largest)[1]
    return 0 if abs(e) <= _ORDINARY else e


def scaled(x: Float[Tensor, "n d_model"], e: int) -> Float[Tensor, "n d_model"]:
    """Return x · 2^−e, in two steps because 2^−e alone may not be a number of this type."""
    if e == 0:
        return x
    half = -e // 2
    return (x * 2.0**half) * 2.0 ** (-e - half)


def common(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the larger exponent of each site, so that nothing overflows on its way to it."""
    return np.maximum(one, other)


def rescaled(
    arrays: Mapping[str, NDArray[Any]], exponents: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Return a state as it would be with other exponents."""
    found = dict(arrays)
    mine = found["exponents"]
    shift = np.where(mine == UNKNOWN, 0, mine - exponents)
    for name, (power, axis) in _POWERS.items():
        shape = [1] * found[name].ndim
        shape[axis] = len(shift)
        found[name] = np.ldexp(found[name], power * shift.reshape(shape)).astype(found[name].dtype)
    found["exponents"] = exponents
    return found
