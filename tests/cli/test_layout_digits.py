"""Numbers carry the digits that their interval allows; wide tables keep every column."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from app.cli.layout import Block, blocks, broken, number, with_interval
from workbench.result.tables import Column, Table


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (0.41237, 0.4012, 0.4231, "0.412 [0.401, 0.423]"),
        (123.456, 100.0, 150.0, "123 [100, 150]"),
        (0.9784, 0.9741, 0.9827, "0.9784 [0.9741, 0.9827]"),
        (1e-6, 0.0, 1e-4, "1e-06 [0, 0.0001]"),
        (-13.9, -18.5, -9.2, "-13.9 [-18.5, -9.2]"),
        (None, None, None, "–"),
        (0.5, None, None, "0.5"),
        (12345678.0, None, None, "1.23e+07"),
        (0.0, 0.0, 0.0, "0 [0, 0]"),
    ],
)
def test_digits(value: float | None, low: float | None, high: float | None, shown: str) -> None:
    assert with_interval(value, low, high) == shown


@given(st.floats(-1e300, 1e300))
def test_every_number_reads_back_nearly(value: float) -> None:
    assert float(number(value)) == pytest.approx(value, rel=1e-2)


@given(st.text(max_size=80), st.integers(3, 30))
def test_broken_lines_fit_and_lose_nothing(text: str, width: int) -> None:
    text = " ".join(text.split())
    lines = broken(text, width).split("\n")
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_a_decimal_number_is_not_broken_at_its_point() -> None:
    assert broken("between 0.359 and -0.5", 10) == "between\n0.359 and\n-0.5"


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 30),
    st.integers(0, 60),
    st.integers(40, 220),
    st.booleans(),
)
def test_every_column_is_in_some_block(n: int, rows: int, width: int, wrap: bool) -> None:
    table = Table.from_rows(
        [{"layer": k, **{f"metric_{i}": k * i / 3 for i in range(n)}} for k in range(rows)]
    )
    cut = _cut(table, width=width, wrap=wrap)
    if rows:
        assert {name for block in cut for name in block.names} == set(map(str, table.frame))
        assert all(block.names[0] == "layer" for block in cut)
        assert all(len(block.rows) == min(rows, 41) for block in cut)


def _cut(table: Table, **how: Any) -> tuple[Block, ...]:
    return blocks(table.rows(), list(table.frame), table.columns, **how)


def test_rows_between_first_and_last_are_dots() -> None:
    table = Table.from_rows([{"layer": i} for i in range(1000)])
    (block,) = _cut(table, width=80, most_rows=8)
    assert [row[0] for row in block.rows] == ["0", "1", "2", "3", "4", "5", "⋮", "998", "999"]


def test_keys_are_repeated_as_far_as_they_tell_rows_apart() -> None:
    rows = [
        {"layer": a, "rank": b, **{f"metric_number_{i}": 0.123456 for i in range(9)}}
        for a in range(2)
        for b in range(3)
    ]
    cut = _cut(Table.from_rows(rows), width=50)
    assert len(cut) > 1
    assert all(block.names[:2] == ("layer", "rank") for block in cut)


def test_units_stand_under_names_once() -> None:
    columns = {"ratio": Column(unit="ratio"), "mean_entropy": Column(unit="nats")}
    table = Table.from_rows([{"ratio": 1.0, "mean_entropy": 2.0}], columns)
    (block,) = _cut(table, width=80)
    assert block.headers == ("ratio", "mean\nentropy\nnats")
