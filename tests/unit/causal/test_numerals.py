"""Cells as people write them: what is a number, what is missing, what is neither."""

import numpy as np
import pytest

from causal.scores.numerals import read_column


def test_mixed_decimal_signs_are_no_numbers_but_named() -> None:
    column = read_column(["1.5", "2.5", "3,5", "4.5"], "", "point")
    assert column.bad.tolist() == [2]
    np.testing.assert_array_equal(column.values, [1.5, 2.5, np.nan, 4.5])


@pytest.mark.parametrize("word", ["-", "n/a", "?", "", "NaN", ".", "NULL", "#N/A", "k. A.", "–"])
def test_spellings_of_no_value(word: str) -> None:
    column = read_column(["1.5", word, "2"], "", "point")
    assert column.bad.tolist() == []
    assert np.isnan(column.values).tolist() == [False, True, False]


@pytest.mark.parametrize("word", ["inf", "1e400", "12,34", "1_000", "0x10", "5 kg", "١٢", "1e200"])
def test_what_is_no_number_is_not_taken_for_one(word: str) -> None:
    column = read_column(["1.5", word, "2.5"], "", "point")
    assert column.bad.tolist() == [1]
