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
    "moments.origin": (1, 0),
    "moments.scatter": (2, 0),
    "moments.group_total": (1, 1),
    "moments.group_scatter": (2, 1),
    "texts.norm": (1, 0),
    "open.vector": (1, 0),
    "open.length": (1, 0),
    "reservoir.x": (1, 0),
    "longest": (1, 0),
}


def exponent_of(largest: float) -> int:
    """Return e such that the largest number · 2^−e is about one, 0 where it is ordinary.

    Powers of two change no digit, so ordinary sizes are left as they are. Of zero nothing is known.
    """
    if largest == 0:
        return UNKNOWN
    e = math.frexp(largest)[1]
    return 0 if abs(e) <= _ORDINARY else e


def scaled(
    x: Float[Tensor, "layer n d_model"], exponents: NDArray[np.int64]
) -> Float[Tensor, "layer n d_model"]:
    """Return x · 2^−e, in two steps because 2^−e alone may not be a number of this type."""
    e = np.where(exponents == UNKNOWN, 0, exponents)
    if not e.any():
        return x
    half = -e // 2
    for part in (half, -e - half):
        x = x * x.new_tensor(np.ldexp(1.0, part))[:, None, None]
    return x


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
