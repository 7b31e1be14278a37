"""Numbers, colours and scales."""

import numpy as np
import pytest

from workbench.figures.scales import colour_limits
from workbench.figures.theme import PALETTE, colour_of, colours_of, ink_on, number, shades


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.123456, 0.11, 0.14, "0.123"),
        (0.123456, 0.1231, 0.1239, "0.12346"),
        (1234.56, 1000.0, 1500.0, "1230"),
        (1234.56, None, None, "1235"),
        (None, None, None, "–"),
        (3.0, 3.0, 3.0, "3"),
    ],
)
def test_digits_follow_the_interval(
    value: float | None, low: float | None, high: float | None, text: str
) -> None:
    assert number(value, low, high) == text


def test_a_quantity_keeps_its_colour_and_two_never_share_one() -> None:
    names = [f"q{i}" for i in range(len(PALETTE))]
    assert sorted(colours_of(names).values()) == sorted(PALETTE)
    assert colours_of(["entropy"])["entropy"] == colour_of("entropy")


def test_words_can_be_read_on_every_shade() -> None:
    for shade in (*shades(48), *shades(48, diverging=True)):
        dark, light = (_contrast(shade, ink) for ink in ("#000", "#fff"))
        assert max(dark, light) >= 4.5
        assert ink_on(shade) == ("#000" if dark >= light else "#fff")


def test_scales_survive_nothing_constants_and_outliers() -> None:
    assert colour_limits(np.array([])).high == 1.0
    assert colour_limits(np.array([3.0, 3.0])).step(3.0, 48) == 0
    values = np.array([*np.linspace(1, 2, 50), 1e4])
    ends = colour_limits(values)
    assert ends.high == pytest.approx(2.0)
    assert ends.cut_high
    assert not ends.cut_low
    assert ends.step(1e4, 48) == 47
    both = colour_limits(np.array([-1.0, 3.0]), diverging=True)
    assert (both.low, both.high) == (-3.0, 3.0)
    assert both.step(0.0, 49) == 24


def _contrast(shade: str, ink: str) -> float:
    def light(values: list[float]) -> float:
        lin = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return 0.2126 * lin[0] + 0.7152 * lin[1] + 0.0722 * lin[2]

    a = light([float(v) / 255 for v in shade[4:-1].split(",")])
    b = 0.0 if ink == "#000" else 1.0
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)
