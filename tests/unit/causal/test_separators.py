"""What parts the cells of a table of text: the first row decides with all others."""

from pathlib import Path

import pytest

from causal.scores.dialect import detect_separator, split_table
from causal.scores.table_options import TableOptions


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


def test_names_with_quotes_of_their_own_are_read_from_a_tab_file(tmp_path: Path) -> None:
    rows = [f'"{i}" of a\t{i}.5\t{i * i}.25' for i in range(1, 13)]
    path = tmp_path / "a.tsv"
    path.write_text("\n".join(["model\tx\ty", *rows]) + "\n", encoding="utf-8")
    options = TableOptions(model_column="model", no_domains=True)
    table = options.scores_of(options.read(path))
    assert table.facts["model"].tolist()[:2] == ['"1" of a', '"2" of a']
    assert len(table) == 12


def test_blanks_part_no_columns_where_nothing_is_a_number() -> None:
    rows = "".join(f'"Satz {i}; mit Strichpunkt";{"ja" if i % 2 else "nein"}\n' for i in range(16))
    table = split_table(f"text;label\n{rows}", "a.csv")
    assert (table.separator, table.names, len(table.rows)) == (";", ("text", "label"), 16)
