"""Cells such as 1,234 among decimals: read as the column is written, and said when that is odd."""

from collections.abc import Sequence

import pytest

from causal.scores.numerals import read_column


@pytest.mark.parametrize(
    ("cells", "value", "is_said"),
    [
        (["0.51", "-1.20", "1,234", "0.88"], 1234.0, True),
        (["0,51", "-1,20", "1.234", "0,88"], 1234.0, True),
        (["812.5", "990.1", "1,234", "701.0"], 1234.0, False),
        (["0.51", "-1.20", "1.234", "0.88"], 1.234, False),
        (["0.51", "n/a", "1 234", "0.88"], 1234.0, False),
    ],
)
def test_a_lone_sign_between_thousands(cells: Sequence[str], value: float, is_said: bool) -> None:
    found = read_column(cells, "", "point")
    assert found.values[2] == value
    assert list(found.grouped) == ([2] if is_said else [])
    assert found.unsure == 0
