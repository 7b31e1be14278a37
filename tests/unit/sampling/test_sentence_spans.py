"""Sentences are found with their places; figures and abbreviations end none."""

import pytest

from workbench.sampling.sentence_spans import sentence_spans, sentences_of, without_formulas


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("It costs $0.2 a day. Mr. Wu pays.", ["It costs $0.2 a day.", "Mr. Wu pays."]),
        ('He said "Go." Then J. Doe left', ['He said "Go."', "Then J. Doe left"]),
        ("a line\n\n  another   line \n", ["a line", "another line"]),
        ("no end", ["no end"]),
        ("  \n ", []),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences_of(text) == expected


def test_spans_point_into_the_text() -> None:
    text = "  One two.  Three!\nFour"
    assert [text[a:b] for a, b in sentence_spans(text)] == ["One two.", "Three!", "Four"]


def test_formulas_are_taken_out() -> None:
    plain, formulas = without_formulas("She sold 48/2 = <<48/2=24>>24 clips, <<1+1=2>>2 a day.")
    assert plain == "She sold 48/2 = 24 clips, 2 a day."
    assert formulas == ["<<48/2=24>>", "<<1+1=2>>"]
