"""A control carries its own n and interval, never those of the estimate beside it."""

from workbench.result.control_words import with_control
from workbench.result.estimate import Estimate
from workbench.result.intervals import proportion_estimate

FOUND = Estimate(name="x", value=0.5, unit="F1", n=45, n_unit="sentences")


def test_the_name_of_a_control_holds_its_n_and_interval() -> None:
    found = with_control(FOUND, "random", proportion_estimate("r", 0, 4))
    assert found.control == 0
    assert found.control_name == "random, n = 4, [0, 0.6024]:"
    assert "(n = 45 sentences; random, n = 4, [0, 0.6024]: 0)" in str(found)


def test_without_an_interval_the_range_stands() -> None:
    control = Estimate(name="r", value=0.2, unit="F1", n=3)
    found = with_control(FOUND, "random", control, [0.0, 0.1, 0.5])
    assert found.control_name == "random, n = 3, range 0 to 0.5:"


def test_a_control_that_was_not_drawn_is_none() -> None:
    found = with_control(FOUND, "random", None)
    assert (found.control, found.control_name) == (None, "random: none drawn")
