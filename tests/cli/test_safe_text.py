"""Nothing that a model or a user wrote can steer the terminal or break the data."""

import csv
import io
import json
import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli import output
from app.cli.escaping import escaped_json, visible, visible_cell
from app.cli.output import Form, write_csv, write_json, write_rows, write_table
from workbench.result.tables import Column, Table

NASTY = "\x1b[31mred\x07\r\n\t[bold]x[/bold] :smile: \u202eevil\u2028\x9b\udcff"


@given(st.text())
def test_visible_text_holds_no_control(text: str) -> None:
    shown = visible(text)
    assert all(unicodedata.category(c) not in ("Cc", "Cs") for c in shown)
    assert "\u202e" not in shown
    assert len(shown) >= len(text)
    assert visible(shown) == shown


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_plain_text_is_left_alone(text: str) -> None:
    assert visible(text) == text


def test_what_is_escaped_can_be_recognised() -> None:
    assert visible("a\x1b[0m\u202e\n\U000e0041") == "a\\x1b[0m\\u202e\\n\U000e0041"
    assert visible("a\nb", keep_newlines=True) == "a\nb"
    assert visible("👩\u200d👧 ﷽ हिन्दी") == "👩\u200d👧 ﷽ हिन्दी"


@pytest.mark.parametrize(
    ("text", "shown"),
    [(" the", "␣the"), ("the ", "the␣"), ("   ", "␣␣␣"), ("", ""), (" a b ", "␣a b␣")],
)
def test_blanks_at_the_ends_of_tokens_show(text: str, shown: str) -> None:
    assert visible_cell(text) == shown


@given(st.recursive(st.text() | st.floats() | st.integers() | st.none(), st.lists, max_leaves=8))
def test_json_is_valid_and_safe(value: object) -> None:
    text = escaped_json(json.dumps(output._json_value(value), ensure_ascii=False, allow_nan=False))
    text.encode("utf-8")
    assert json.loads(text) == _without_nan(value)
    assert not any(unicodedata.category(c) == "Cc" for c in text)


def _without_nan(value: object) -> object:
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _ascii_stream(monkeypatch: pytest.MonkeyPatch) -> io.TextIOWrapper:
    stream = io.TextIOWrapper(
        io.BytesIO(), encoding="ascii", errors="backslashreplace", write_through=True
    )
    monkeypatch.setattr("sys.stdout", stream)
    return stream


def _written(stream: io.TextIOWrapper) -> bytes:
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue()


def test_json_stays_valid_on_an_ascii_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _ascii_stream(monkeypatch)
    write_json({"text": "é 日本 \U0001f600" + NASTY})
    assert json.loads(_written(stream)) == {"text": "é 日本 \U0001f600" + NASTY}


def test_tables_survive_an_ascii_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _ascii_stream(monkeypatch)
    write_table(Table.from_rows([{"token": " é"}]), Form.TABLE)
    assert b"\\xe9" in _written(stream)


def test_csv_round_trip(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"a": 'x,"y"\nz', "b": 1.5, "c": None, "d": [1, "é"]},
        {"a": " ", "b": math.nan, "c": True, "d": {}},
    ]
    write_csv(rows)
    found = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["a"] for row in found] == [row["a"] for row in rows]
    assert [row["b"] for row in found] == ["1.5", ""]
    assert json.loads(found[0]["d"]) == [1, "é"]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_tables_fit_and_escape(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    row = {f"column_{i}": i / 7 for i in range(12)}
    table = Table.from_rows([{"layer": k, "token": NASTY[:-1] * 3, **row} for k in range(3)])
    write_table(table, Form.TABLE)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    assert "\x1b[31m" not in shown
    assert width < 80 or "[bold]" in shown
    for name in ("11", "1.571"):
        assert name in shown


def test_no_colour_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    output.say("careful", style="red")
    write_rows([{"a": 1}], Form.TABLE)
    captured = capsys.readouterr()
    assert "31m" not in captured.err + captured.out


def test_intervals_stand_in_the_cell_of_their_value(capsys: pytest.CaptureFixture[str]) -> None:
    columns = {"mean": Column(unit="nats", help="", low="low", high="high")}
    rows = [
        {"layer": 0, "mean": 0.41237, "low": 0.4012, "high": 0.4231},
        {"layer": 1, "mean": None, "low": None, "high": None},
        {"layer": 2, "mean": 2.0, "low": 2.0, "high": 2.0},
    ]
    output.show_table(Table.from_rows(rows, columns))
    shown = capsys.readouterr().out
    assert "0.412 [0.401, 0.423]" in shown
    assert "–" in shown
    assert "2 [2, 2]" in shown
    assert "nats" in shown
    assert "low" not in shown
