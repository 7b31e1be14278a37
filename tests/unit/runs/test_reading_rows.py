"""Every good row is kept, and every bad one is named with file and line."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.methods.contracts import Example
from workbench.runs.reading import BadRow, read_examples, read_rows
from workbench.runs.spec import SHIPPED_PROMPTS, DataRef

Writer = Callable[[str, bytes | str], str]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    def put(name: str, content: bytes | str) -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return put


def _read(path: str, **data: Any) -> tuple[list[Example], list[BadRow]]:
    return read_examples(DataRef(path=path, **data))


def test_malformed_jsonl_in_the_middle_keeps_the_rest(write: Writer) -> None:
    path = write("a.jsonl", '{"text": "one"}\n{"text": "tw\n\n[1]\n{"text": "three"}\n')
    good, bad = _read(path)
    assert [(e.text, e.source) for e in good] == [("one", "a.jsonl:1"), ("three", "a.jsonl:5")]
    assert [row.source for row in bad] == ["a.jsonl:2", "a.jsonl:4"]
    assert "not valid JSON" in bad[0].reason
    assert "list, not an object" in bad[1].reason


def test_invalid_utf8_is_named_with_its_line(write: Writer) -> None:
    good, bad = _read(write("a.txt", b"fine\nb\xff\xfe\nalso fine\n"))
    assert [e.text for e in good] == ["fine", "also fine"]
    assert [(b.source, b.reason[:15]) for b in bad] == [("a.txt:2", "not valid UTF-8")]
    good, bad = _read(write("a.jsonl", b'{"text": "x"}\n{"text": "\xff"}\n'))
    assert len(good) == 1
    assert bad[0].reason.startswith("not valid UTF-8")


def test_a_byte_order_mark_is_only_one_at_the_start(write: Writer) -> None:
    good, _ = _read(write("a.jsonl", '\ufeff{"text": "one"}\n{"text": "two"}\n'))
    assert [e.text for e in good] == ["one", "two"]
    good, bad = _read(write("b.csv", "\ufefftext,label\nhello,1\n"))
    assert [e.text for e in good] == ["hello"]
    assert bad == []


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_empty_texts_are_bad_rows(text: str) -> None:
    good, bad = read_examples(DataRef(texts=("word", text)))
    assert [e.text for e in good] == ["word"]
    assert bad == [BadRow(source="text 2", reason="the text is empty")]


def test_a_long_text_stays_whole() -> None:
    text = "word " * 20_000
    good, _ = read_examples(DataRef(texts=(text,)))
    assert good[0].text == text


def test_half_a_surrogate_pair_is_a_bad_row(write: Writer) -> None:
    _, bad = _read(write("a.jsonl", '{"text": "\\ud800"}\n{"text": "ok"}\n'))
    assert "surrogate" in bad[0].reason


@pytest.mark.parametrize("value", [None, 3, ["a"], {"a": 1}, True])
def test_what_is_not_text_is_a_bad_row(write: Writer, value: object) -> None:
    rows = [{"text": "ok"}, {"text": value}]
    good, bad = _read(write("a.jsonl", "\n".join(map(json.dumps, rows))))
    assert len(good) == 1
    assert "not text" in bad[0].reason


def test_a_wrong_value_is_quoted_briefly(write: Writer) -> None:
    rows = [{"text": "ok"}, {"text": list(range(100_000))}]
    _, bad = _read(write("a.jsonl", "\n".join(map(json.dumps, rows))))
    assert len(bad[0].reason) < 200


@pytest.mark.parametrize(
    "label", ["null", "NaN", "Infinity", "true", "[1]", '""', '"\\ud800"', "1" + "0" * 400]
)
def test_labels_that_are_neither_words_nor_numbers(write: Writer, label: str) -> None:
    path = write("a.jsonl", f'{{"text": "a", "y": 1}}\n{{"text": "b", "y": {label}}}\n')
    good, bad = _read(path, label="y")
    assert [(e.text, e.label) for e in good] == [("a", 1.0)]
    assert [row.source for row in bad] == ["a.jsonl:2"]


def test_labels_groups_and_other_fields_are_kept(write: Writer) -> None:
    path = write("a.jsonl", '{"q": "a", "y": "yes", "g": 7, "z": [1]}\n')
    good, _ = _read(path, field="q", label="y", group="g")
    assert (good[0].label, good[0].group, good[0].fields["z"]) == ("yes", "7", [1])


def test_a_field_called_label_is_the_label_unless_another_is_named(write: Writer) -> None:
    rows = (
        {"text": "a", "label": "x", "kind": "k"},
        {"text": "b", "label": None, "kind": "m"},
        {"text": "c", "kind": "n"},
    )
    path = write("rows.jsonl", "\n".join(map(json.dumps, rows)))
    good, bad = read_examples(DataRef(path=path))
    assert [e.label for e in good] == ["x", None, None]
    assert not bad
    good, _ = read_examples(DataRef(path=path, label="kind"))
    assert [e.label for e in good] == ["k", "m", "n"]
    good, bad = read_examples(DataRef(path=path, label="label"))
    assert [e.label for e in good] == ["x"]
    assert len(bad) == 2


def test_a_missing_field_lists_what_is_there(write: Writer) -> None:
    with pytest.raises(DataError, match="no field 'text'; the row has question, answer") as error:
        _read(write("a.jsonl", '{"question": "a", "answer": "b"}\n'))
    assert "--field" in error.value.hint


def test_texts_given_outright_need_no_field() -> None:
    good, _ = read_examples(DataRef(texts=("a",), field="question"))
    assert good[0].text == "a"


def test_csv_rows_of_the_wrong_width_and_quotes_over_lines(write: Writer) -> None:
    path = write("a.csv", 'text,label\n"two\nlines",x\nonly one\nfine,y\n')
    good, bad = _read(path, label="label")
    assert [(e.text, e.source) for e in good] == [("two\nlines", "a.csv:2"), ("fine", "a.csv:5")]
    assert bad == [BadRow(source="a.csv:4", reason="1 cells; the header has 2")]


def test_a_quote_never_closed_does_not_swallow_the_file_in_silence(write: Writer) -> None:
    good, bad = _read(write("a.csv", 'text\nfine\n"never closed\nlost\nlost too\n'))
    assert [e.text for e in good] == ["fine"]
    assert bad[0].source == "a.csv:3"
    assert "lines 3 to 5" in bad[0].reason


def test_a_bad_quote_spoils_its_own_row_only(write: Writer) -> None:
    good, bad = _read(write("a.csv", 'text,n\n"a"b,1\nfine,2\n'))
    assert [e.text for e in good] == ["fine"]
    assert [row.source for row in bad] == ["a.csv:2"]


def test_invalid_utf8_in_csv(write: Writer) -> None:
    good, bad = _read(write("a.tsv", b"text\tn\nfine\t1\n\xff\t2\n"))
    assert len(good) == 1
    assert bad == [BadRow(source="a.tsv:3", reason="not valid UTF-8")]
    with pytest.raises(DataError, match="header is not valid UTF-8"):
        _read(write("b.csv", b"te\xffxt\nfine\n"))


def test_parquet_rows_and_a_damaged_file(tmp_path: Path, write: Writer) -> None:
    frame = pd.DataFrame({"text": ["a", None, "c"], "y": [1.5, 2.5, math.nan]})
    frame.to_parquet(tmp_path / "a.parquet")
    good, bad = _read(str(tmp_path / "a.parquet"), label="y")
    assert [e.label for e in good] == [1.5]
    assert [row.source for row in bad] == ["a.parquet:2", "a.parquet:3"]
    with pytest.raises(DataError, match="not a readable Parquet file"):
        _read(write("b.parquet", b"PAR1 nonsense PAR1"))


def test_json_lists(write: Writer) -> None:
    good, bad = _read(write("a.json", '[{"text": "a"}, 3]'))
    assert ([e.source for e in good], [b.source for b in bad]) == (["a.json[0]"], ["a.json[1]"])
    with pytest.raises(DataError, match="holds a JSON dict"):
        _read(write("b.json", "{}"))
    with pytest.raises(DataError, match="not valid JSON"):
        _read(write("c.json", "[" * 100_000))


def test_deep_nesting_in_one_line_is_one_bad_row(write: Writer) -> None:
    good, bad = _read(write("a.jsonl", '{"text": "a"}\n' + '{"text": ' * 50_000 + "\n"))
    assert (len(good), len(bad)) == (1, 1)


def test_files_that_cannot_be_read_say_what_to_do(tmp_path: Path, write: Writer) -> None:
    with pytest.raises(DataError, match="no file"):
        _read(str(tmp_path / "missing.jsonl"))
    with pytest.raises(DataError, match="no file"):
        _read(str(tmp_path))
    with pytest.raises(DataError, match=r"ends in '\.docx'"):
        _read(write("a.docx", "x"))
    with pytest.raises(DataError, match="no usable row: the input holds none"):
        _read(write("a.jsonl", ""))
    with pytest.raises(DataError, match="no input was given"):
        read_examples(DataRef())


def test_standard_input_takes_lines_and_objects() -> None:
    stream = io.BytesIO(b'plain words\n{"text": "object"}\n{"text": broken\n')
    rows = list(read_rows(DataRef(path="-"), stdin=stream))
    assert [r.text for r in rows if isinstance(r, Example)] == ["plain words", "object"]
    assert [r.source for r in rows if isinstance(r, BadRow)] == ["stdin:3"]


def test_the_limit_counts_rows(write: Writer) -> None:
    path = write("a.txt", "".join(f"line {i}\n" for i in range(100)))
    assert len(_read(path, limit=7)[0]) == 7


def test_shipped_prompts_are_all_good() -> None:
    good, bad = _read(SHIPPED_PROMPTS)
    assert len(good) > 10
    assert bad == []


def test_file_names_that_are_not_unicode_are_shown_escaped(tmp_path: Path) -> None:
    path = tmp_path / "a\udcff.txt"
    path.write_text("fine\n\n")
    good, _ = _read(str(path))
    assert good[0].source == "a\\udcff.txt:1"


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_the_header_tells_what_parts_the_cells(write: Writer, sign: str) -> None:
    lines = ["text|label|label", '"Well, so; it is"|a|b', "Plain|c|d"]
    path = write("a.csv", "".join(f"{line.replace('|', sign)}\n" for line in lines))
    good, bad = _read(path, label="label")
    assert [(e.text, e.label) for e in good] == [("Well, so; it is", "a"), ("Plain", "c")]
    assert good[0].fields["label.1"] == "b"  # of two columns with one name none is lost
    assert not bad


LITERAL = (
    "language\ttext\n"
    'deu\t"Daran nie", sagte er.\n'
    'deu\t"Ja."\n'
    'deu\tDas "Wort".\n'
    'deu\t"Wer?" "Ich."\n'
    'deu\t"Ohne Punkt\n'
    "eng\tplain\n"
)


def test_quotes_of_a_tab_file_that_belong_to_the_text_are_kept(write: Writer) -> None:
    good, bad = _read(write("a.tsv", LITERAL), label="language")
    assert bad == []
    assert [e.text for e in good] == [line.split("\t")[1] for line in LITERAL.splitlines()[1:]]


@pytest.mark.parametrize(
    ("content", "texts", "n_bad"),
    [
        ('text\tn\n"two\nlines"\t1\n"a\tb"\t2\n', ["two\nlines", "a\tb"], 0),
        ('"text"\t"n"\n"one"\t"1"\n"tw"o\t"2"\n', ["one"], 1),
        ('"text"\tn\n"one"\t1\n"tw"o\t2\n', ["one"], 1),
        ('text\tn\n"she said ""yes"""\t1\n"b"ad\t2\n', ['she said "yes"'], 1),
        ('text\n"two\nlines"\nx\n', ["two\nlines", "x"], 0),
    ],
)
def test_quotes_of_a_tab_file_around_cells_are_taken_off(
    write: Writer, content: str, texts: list[str], n_bad: int
) -> None:
    good, bad = _read(write("a.tsv", content))
    assert [e.text for e in good] == texts
    assert len(bad) == n_bad
