"""Scales and categories as readers without one kind of cone see them.

Matrices for linear RGB: Machado, Oliveira and Fernandes 2009 (IEEE TVCG 15:6), severity 1.
Distances are those of CIELAB, where about 2.3 is just noticeable.
"""

from itertools import combinations

import numpy as np
import pytest
from plotly.colors import sample_colorscale

from workbench.figures.theme import PALETTE, SEQUENTIAL, shades

VISION = {
    "common": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
# sRGB with white D65.
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
TOLD_APART = 10.0
STEP = 4.0


def lab(colours: list[str], vision: str) -> np.ndarray:
    """Return CIELAB coordinates of `#rrggbb` or `rgb(...)` colours as that vision sees them."""
    rgb = np.array([_rgb(colour) for colour in colours]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ VISION[vision].T, 0, 1) @ TO_XYZ.T / TO_XYZ.sum(axis=1)
    f = np.where(seen > (6 / 29) ** 3, np.cbrt(seen), seen / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def _rgb(colour: str) -> list[float]:
    if colour.startswith("#"):
        return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return [float(part) for part in colour[4:-1].split(",")]


def least_step(colours: list[str], vision: str) -> float:
    return float(np.linalg.norm(np.diff(lab(colours, vision), axis=0), axis=1).min())


@pytest.mark.parametrize("vision", VISION)
def test_the_sequential_scale_only_grows_lighter(vision: str) -> None:
    assert (np.diff(lab(shades(48), vision)[:, 0]) > 0).all()
    assert least_step(shades(9), vision) > STEP


@pytest.mark.parametrize("vision", VISION)
def test_the_diverging_scale_has_two_ends_and_a_light_middle(vision: str) -> None:
    seen = lab(shades(49, diverging=True), vision)
    steps = np.diff(seen[:, 0])
    assert (steps[:24] > 0).all()
    assert (steps[24:] < 0).all()
    assert least_step(shades(9, diverging=True), vision) > STEP
    ways = np.linalg.norm(seen[:20] - seen[:-21:-1], axis=1)
    assert ways[:16].min() > TOLD_APART, "as far below as above 0 are told apart"


@pytest.mark.parametrize("vision", VISION)
def test_categories_of_one_figure_are_told_apart(vision: str) -> None:
    seen = lab(list(PALETTE), vision)
    near = {
        (PALETTE[i], PALETTE[j]): float(np.linalg.norm(seen[i] - seen[j]))
        for i, j in combinations(range(len(PALETTE)), 2)
    }
    assert min(near.values()) > TOLD_APART, sorted(near.items(), key=lambda kv: kv[1])[:3]


def test_a_rainbow_is_found_out() -> None:
    rainbow = sample_colorscale("Jet", [i / 47 for i in range(48)])
    assert not (np.diff(lab(rainbow, "deuteranopia")[:, 0]) > 0).all()
    assert SEQUENTIAL != "Jet"
