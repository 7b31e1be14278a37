"""Marked prompts: what they mean, and where they are wrong."""

import pytest

from workbench.errors import DataError
from workbench.model.masks import Parallel
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.sampling.parts import has_parts, marked_by_itself, pieces_of, read_parts

TOKENIZER = tiny_tokenizer()


def shape(pieces):
    """Return blocks as lists of branches and tokens as text."""
    found = []
    for piece in pieces:
        if isinstance(piece, Parallel):
            found.append([shape(branch) for branch in piece.branches])
        else:
            found.append(TOKENIZER.decode([piece]).strip())
    return found


def test_blocks_nest_and_escaped_marks_are_text():
    found = shape(pieces_of(TOKENIZER, "the {{king|| queen {{a||man}} ran}} sat || and"))
    assert found[:2] == ["the", [["king"], ["queen", [["a"], ["man"]], "ran"]]]
    assert found[2] == "sat"
    assert found[-1] == "and"
    assert not has_parts(r"a \{{ b")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one\n{{ a || b", "f.txt:4: .*not closed"),
        ("one\n\n a }} b", "f.txt:5: .*not opened"),
        ("{{ a || }}", "f.txt:3: .*empty"),
        ("{{}}", "f.txt:3: .*empty"),
    ],
)
def test_a_wrong_mark_is_named_with_its_line(text, said):
    with pytest.raises(DataError, match=said):
        pieces_of(TOKENIZER, text, source="f.txt:3")


def test_a_file_holds_prompts_between_dashes(tmp_path):
    path = tmp_path / "f.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n---\n\n---\nthree\n")
    assert read_parts(path) == [("one\ntwo", f"{path}:1"), ("three", f"{path}:6")]
    path.write_text("\n---\n")
    with pytest.raises(DataError, match="no prompt"):
        read_parts(path)
    with pytest.raises(DataError, match="cannot read"):
        read_parts(tmp_path / "gone.txt")


def test_a_text_without_marks_is_cut_at_lines_sentences_or_words():
    assert marked_by_itself("x\na\nb\nc", most=2) == "x\n{{a\n||b\n}}c"
    assert marked_by_itself("One is. Two is! So {{?") == r"{{One is.|| Two is!}} So \{{?"
    assert marked_by_itself("one two three") == "{{one|| two}} three"
    assert marked_by_itself("one two") == "one two"
