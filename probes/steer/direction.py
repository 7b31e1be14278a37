"""The direction that two kinds of texts differ in."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from workbench.errors import BadOption, DataError, TooLittleData

_TENSOR = re.compile(r"(?P<path>.+)\[(?P<key>[^\[\]]+)\]")


def direction_of(
    method: str,
    x: Float[np.ndarray, "n d_model"],
    signs: Int[np.ndarray, " n"],
    groups: NDArray[np.generic],
    given: Float[Tensor, " d_model"] | None = None,
) -> Float[Tensor, " d_model"]:
    """Return the direction, as long as the difference of the means of both signs.

    Raises:
        TooLittleData: both sides have the same mean, or no group holds both.
    """
    h = x.astype(np.float64)
    gap = h[signs > 0].mean(axis=0) - h[signs < 0].mean(axis=0)
    length = float(np.linalg.norm(gap))
    if not length:
        raise TooLittleData("both sides have the same mean state", hint="give other texts")
    if method == "pca":
        way = _principal(h, signs, groups)
    elif method == "probe":
        way = _discriminant(h, signs, gap)
    else:
        way = gap if given is None else given.double().numpy()
    # A component has no sign of its own; a given vector keeps the one it has.
    turn = -1.0 if method == "pca" and way @ gap < 0 else 1.0
    found = turn * way * length / np.linalg.norm(way)
    return torch.from_numpy(found).float()


def given_vector(text: str, width: int) -> Float[Tensor, " d_model"]:
    """Read a vector from FILE.safetensors[key].

    Raises:
        BadOption: the text has another form, or the vector another size.
        DataError: the file cannot be read.
    """
    match = _TENSOR.fullmatch(text)
    if match is None:
        raise BadOption(f"vector is {text!r}; expected FILE.safetensors[key]")
    try:
        with safe_open(Path(match["path"]), framework="pt") as file:
            found: Tensor = file.get_tensor(match["key"])
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot read {text}: {error}", hint="give a safetensors file") from error
    if found.shape != (width,) or not bool(found.any()) or not bool(found.isfinite().all()):
        raise BadOption(f"{text} has the shape {tuple(found.shape)}; expected {width} numbers")
    return found


def _principal(
    h: Float[np.ndarray, "n d_model"], signs: Int[np.ndarray, " n"], groups: NDArray[np.generic]
) -> Float[np.ndarray, " d_model"]:
    """Return the first principal component of the differences within groups, not centred."""
    gaps: Sequence[NDArray[np.float64]] = [
        h[mine & (signs > 0)].mean(axis=0) - h[mine & (signs < 0)].mean(axis=0)
        for group in np.unique(groups)
        for mine in [groups == group]
        if (signs[mine] > 0).any() and (signs[mine] < 0).any()
    ]
    if not gaps:
        raise TooLittleData(
            "no group holds texts of both sides", hint="name the field of the pairs with --group"
        )
    return np.asarray(np.linalg.svd(np.stack(gaps), full_matrices=False)[2][0])


def _discriminant(
    h: Float[np.ndarray, "n d_model"], signs: Int[np.ndarray, " n"], gap: NDArray[np.float64]
) -> Float[np.ndarray, " d_model"]:
    """Return (S + λI)⁻¹·gap with S the covariance within the sides and λ its mean variance."""
    within = np.concatenate([h[side] - h[side].mean(axis=0) for side in (signs > 0, signs < 0)])
    covariance = within.T @ within / len(within)
    ridge = np.trace(covariance) / len(covariance) + np.finfo(np.float64).tiny
    return np.asarray(np.linalg.solve(covariance + ridge * np.eye(len(covariance)), gap))
