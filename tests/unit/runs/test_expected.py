"""How long a run will take: a fixed part and one for every row, learned from earlier runs."""

import pytest

from workbench.runs.expected import fitted_seconds, time_left


def test_both_parts_are_learned_from_runs_of_several_sizes() -> None:
    known = [(n, 30 + 0.5 * n) for n in (1, 8, 40)]
    assert fitted_seconds(known, 1) == pytest.approx(30.5)
    assert fitted_seconds(known, 200) == pytest.approx(130.0)


@pytest.mark.parametrize(
    ("known", "n", "expected"),
    [
        ([], 5, None),
        ([(4, 8.0)], 8, 16.0),
        ([(0, 8.0)], 8, 8.0),
        ([(4, 8.0)], None, 8.0),
        # Noise may make the larger run the faster one: never a negative time.
        ([(10, 2.0), (1, 3.0)], 100, 2.5),
    ],
)
def test_what_few_runs_can_tell(known, n, expected) -> None:
    assert fitted_seconds(known, n) == pytest.approx(expected)


def test_the_whole_run_is_judged_where_an_earlier_one_tells() -> None:
    assert time_left(35.0, 5.0, 0.8) == (30.0, True)
    assert time_left(35.0, 34.0, 4.0) == (4.0, True)
    assert time_left(35.0, 40.0, 2.0) == (2.0, False)
    assert time_left(None, 5.0, 0.8) == (0.8, False)
    assert time_left(None, 5.0, None) == (None, False)
