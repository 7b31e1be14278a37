"""Where a mean is largest, in words."""

import numpy as np
import pytest

from workbench.result.metric import Axis, Metric
from workbench.result.peak import largest, smallest
from workbench.result.samples import VALUE, Samples


@pytest.fixture
def found() -> Samples:
    x = np.array([[[0.1, 0.2], [np.nan, 0.4]], [[0.1, 0.2], [0.3, 0.8]]])
    empty = np.full((2, 2), np.nan)
    metrics = {
        "heads": Metric(unit="", help="x", axes=("layer", "head")),
        "none": Metric(unit="", help="x", axes=("layer",)),
    }
    axes = {"layer": Axis(help="x", labels=(7, 9))}
    return Samples.of({VALUE: {"heads": x, "none": empty}}, metrics, axes_of=axes)


def test_the_place_of_the_largest_and_the_smallest_mean_is_named(found: Samples) -> None:
    assert largest(found, "heads") == "head 1 of layer 9 (0.6)"
    assert smallest(found, "heads") == "head 0 of layer 7 (0.1)"


def test_nothing_is_named_where_no_mean_is_known(found: Samples) -> None:
    assert largest(found, "none") == "none"
