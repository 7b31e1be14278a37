"""Numeric series, planted or from a file, and windows of them with the value that follows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadOption, DataError, TooLittleData

_AR, _NOISE, _PERIOD, _BURN = (1.2, -0.5), {"ar": 1.0, "season": 0.5}, 12, 100
PLANTED = tuple(_NOISE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """Windows cut into patches, and the value behind each; in units of the training part.

    `least` is the variance of the planted noise in these units, the least error there is.
    """

    name: str
    x: Float[Tensor, "window patch value"]
    y: Float[Tensor, " window"]
    least: float | None = None

    def take(self, begin: int, end: int) -> "Windows":
        """Return the windows from one index to another."""
        return Windows(name=self.name, x=self.x[begin:end], y=self.y[begin:end], least=self.least)


def windows(
    name: str, *, n_train: int, n: int, patch: int, patches: int, generator: np.random.Generator
) -> Windows:
    """Return `n` windows in their order in time, each a patch behind the one before.

    `ar` is x_t = 1.2·x_{t−1} − 0.5·x_{t−2} + ε with a noise variance of 1, `season` a wave of
    twelve steps with a noise variance of 0.25; any other name is a file of numbers.

    Raises:
        BadOption: it is neither a planted series nor a file.
        DataError: the file holds something else than numbers.
        TooLittleData: the file is too short.
    """
    length = (n - 1) * patch + patch * patches + 1
    values = _planted(name, length, generator) if name in _NOISE else _from_file(name)
    if len(values) < length:
        raise TooLittleData(
            f"{name} holds {len(values)} numbers; expected {length} for {n} windows",
            hint="fewer --fitted and --held, or shorter patches",
        )
    seen = values[: n_train * patch]
    mean, scale = seen.mean(), max(float(seen.std()), 1e-12)
    rows = torch.from_numpy((values - mean) / scale).unfold(0, patch * patches + 1, patch)[:n]
    return Windows(
        name=Path(name).name,
        x=rows[:, :-1].reshape(n, patches, patch).float(),
        y=rows[:, -1].float(),
        least=_NOISE[name] ** 2 / scale**2 if name in _NOISE else None,
    )


def _planted(
    name: str, length: int, generator: np.random.Generator
) -> Float[np.ndarray, " length"]:
    noise = _NOISE[name] * generator.standard_normal(length + _BURN)
    if name == "season":
        wave = np.sqrt(2) * np.sin(2 * np.pi * np.arange(length + _BURN) / _PERIOD)
        return np.asarray(wave + noise)[_BURN:]
    found = noise.copy()
    for t in range(2, len(found)):
        found[t] += _AR[0] * found[t - 1] + _AR[1] * found[t - 2]
    return found[_BURN:]


def _from_file(path: str) -> Float[np.ndarray, " n"]:
    try:
        words = Path(path).read_text(encoding="utf-8-sig").replace(",", " ").split()
    except (OSError, ValueError) as error:
        raise BadOption(
            f"series {path!r} is neither planted ({', '.join(PLANTED)}) nor a file: {error}",
            hint="a file of numbers, parted by blanks, commas or line breaks",
        ) from error
    try:
        values = np.array([float(word) for word in words])
    except ValueError as error:
        raise DataError(f"{path}: {error}", hint="numbers only, no header") from error
    if not np.isfinite(values).all():
        raise DataError(f"{path} holds numbers that are not finite", hint="leave them out")
    return values
