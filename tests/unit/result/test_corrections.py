"""Corrections of p-values for their number."""

from typing import Literal

import numpy as np
import pytest
from scipy import stats

from workbench.errors import BadOption
from workbench.result.intervals import correct


@pytest.mark.parametrize("method", ["bh", "by"])
def test_corrections_are_those_of_scipy(method: Literal["bh", "by"]) -> None:
    p = np.random.default_rng(0).random(50).round(1)
    expected = stats.false_discovery_control(p, method=method)
    assert correct(p.tolist(), method=method) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(BadOption, match="between 0 and 1"):
        correct([0.5, float("nan")], method=method)
