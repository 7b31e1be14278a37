"""Columns that a text describes."""

import pytest

from workbench.errors import BadOption
from workbench.result.tables import Column, columns_from


def test_units_intervals_and_long_lines_are_read():
    found = columns_from("""
        token: The token: written, or of the vocabulary.
        step (tokens): Tokens before this one,
            counted from 0.
        p (probability; p_low, p_high): Of the token (after temperature).
    """)
    assert found == {
        "token": Column(help="The token: written, or of the vocabulary."),
        "step": Column("tokens", "Tokens before this one, counted from 0."),
        "p": Column("probability", "Of the token (after temperature).", "p_low", "p_high"),
    }
    assert list(found) == ["token", "step", "p"]


@pytest.mark.parametrize("line", ["step", "step (tokens) Tokens.", "step (tokens; low): Tokens."])
def test_a_line_that_does_not_read_so_is_named(line):
    with pytest.raises(BadOption, match="expected lines that read") as refused:
        columns_from(f"token: A token.\n{line}")
    assert line in str(refused.value)
    assert "A token" not in str(refused.value)
