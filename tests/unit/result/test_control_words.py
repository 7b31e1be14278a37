"""A control carries its own n and interval, never those of the estimate beside it."""

import numpy as np
import pytest

from workbench.result.control_words import with_control
from workbench.result.estimate import Estimate

FOUND = Estimate(name="x", value=0.5, unit="F1", n=45, n_unit="sentences")


def test_the_interval_is_students_over_the_values_of_the_control() -> None:
    values = [0.0, 0.1, 0.2, 0.5]
    found = with_control(FOUND, "random", values, generator=np.random.default_rng(0))
    reach = 3.182446305284263 * np.std(values, ddof=1) / 2
    told = f"random, n = 4, [{0.2 - reach:.4g}, {0.2 + reach:.4g}]:"
    assert found.control == pytest.approx(0.2)
    assert found.control_name == told
    assert "(n = 45 sentences; random, n = 4, [" in str(found)


def test_clustered_values_say_so_and_few_groups_have_a_range() -> None:
    found = with_control(
        FOUND, "random", [0.0, 0.1, 0.4], groups=[3, 3, 3], generator=np.random.default_rng(0)
    )
    assert found.control_name == "random, n = 3 of 1 groups, range 0 to 0.4:"


def test_without_values_there_is_no_control() -> None:
    found = with_control(FOUND, "random", [], generator=np.random.default_rng(0))
    assert found.control is None
    assert found.control_name == "random: none drawn"
