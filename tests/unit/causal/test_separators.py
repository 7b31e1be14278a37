"""What parts the cells of a table of text: the first row decides with all others."""

import pytest

from causal.scores.dialect import detect_separator


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("model;task;score\na;x;50,5\nb;y;49,5\n", ";"),
        ("model\ttask\tscore\na\tx\t50,5\nb\ty\t49,5\n", "\t"),
        ("model,task,score\na b,x y,50.5\nc d,y z,49.5\n", ","),
        ("My results\nmodel,one,two\na,1.5,2\nb,2.5,3\n", ","),
        ("Scores June\nthe model,one\na 1,2\nb 2,3\n", ","),
        ("Scores; June\nmodel,one,two\na,1.5,2\nb,2.5,3\n", ","),
    ],
)
def test_a_first_row_that_parts_like_all_others_is_no_title(text, mark):
    assert detect_separator(text, "own.csv") == mark
