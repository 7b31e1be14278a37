"""A file of questions: good rows are kept, bad ones are named, and what is too long is left out."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from workbench.errors import DataError
from workbench.model.tiny import tiny_model
from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.sampling.task import open_task

LINES = (
    json.dumps({"question": "1 + 1?", "answer": "2"}),
    "no JSON",
    json.dumps({"question": " ", "answer": "2"}),
    json.dumps({"question": "2 + 2?"}),
    json.dumps({"question": "2 + 3?", "answer": None}),
    json.dumps({"question": "Is it?", "answer": "yes"}),
    json.dumps(["2 + 4?", "6"]),
    json.dumps({"question": "3 + 4?", "answer": 7}),
    "behind the last one used",
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(LINES))
    return path


def test_good_rows_are_kept_and_each_bad_one_before_the_last_used_is_named(file: Path) -> None:
    task = open_task(str(file))
    found = task.problems(2, np.random.default_rng(0))
    assert [(p.id, p.answer) for p in found] == [("own:1", "2"), ("own:8", "7")]
    told = dict(task.skipped(2))
    assert list(told) == [f"own.jsonl:{line}" for line in range(2, 8)]
    words = ("not valid JSON", "not a question", "no field 'answer'", "None", "grader", "list")
    assert all(word in fault for word, fault in zip(words, told.values(), strict=True))
    assert len(task.skipped(100)) == 7


def test_a_run_says_which_rows_it_left_out_and_which_problem_is_too_long(file: Path) -> None:
    model = tiny_model("gpt2")
    long = {"question": "the dog " * model.spec.max_positions, "answer": "1"}
    file.write_text("\n".join([json.dumps(long), *LINES[:2], LINES[7]]))
    run = execute(
        RunSpec(
            kind="reasoner",
            name="no-cot",
            options={"tokens": 2},
            model=ModelRef(name="tiny:gpt2"),
            data=DataRef(task=str(file)),
        )
    )
    assert run.result is not None
    bad = run.result.table("bad_rows").rows()
    assert [row["source"] for row in bad] == ["own.jsonl:3", "own:1"]
    assert f"takes {model.spec.max_positions}" in bad[1]["reason"]
    assert run.result.estimate("accuracy").n == 2


def test_a_file_without_a_question_says_what_is_wrong_with_its_first_rows(file: Path) -> None:
    file.write_text("question\n1+1? 2\n")
    with pytest.raises(DataError, match=r"own\.jsonl:1: not valid JSON") as caught:
        open_task(str(file)).problems(5, np.random.default_rng(0))
    assert "JSONL" in caught.value.hint


def test_rows_with_choices_of_their_own_are_not_asked_with_those_of_others(tmp_path):
    path = tmp_path / "own.jsonl"
    rows = [{"question": f"Q{i}?", "choices": [f"a{i}", "b"], "answer": f"a{i}"} for i in range(2)]
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match="choices of their own") as caught:
        open_task(f"{path}?grader=words").problems(2, np.random.default_rng(0))
    assert f"harness:{path}" in caught.value.hint
    items = open_task(f"harness:{path}").items(2, np.random.default_rng(0))
    assert [item.choices for item in items] == [("a0", "b"), ("a1", "b")]


def test_a_table_of_questions_is_read(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text('question,answer\n"Is it, then?",yes\nNot?,no\nOdd\n')
    task = open_task(f"{path}?grader=words")
    found = task.problems(5, np.random.default_rng(0))
    assert [(p.question, p.answer) for p in found] == [("Is it, then?", "yes"), ("Not?", "no")]
    assert task.skipped(5) == [("own.csv:4", "1 cells; the header has 2")]


def test_quotation_marks_of_a_tab_table_are_read_as_in_other_tables(tmp_path: Path) -> None:
    path = tmp_path / "own.tsv"
    path.write_text('question\tanswer\tanswer\n"Yes," he said?\tyes\tno\n"No," you say?\tno\tyes\n')
    found = open_task(f"{path}?grader=words").problems(5, np.random.default_rng(0))
    assert [(p.question, p.answer) for p in found] == [
        ('"Yes," he said?', "yes"),
        ('"No," you say?', "no"),
    ]


def test_a_header_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text('"question"s,answer\nIs it?,yes\n')
    with pytest.raises(DataError, match="the header is not valid CSV"):
        open_task(f"questions:{path}").problems(1, np.random.default_rng(0))


@pytest.mark.parametrize("cut", [slice(0, 30), slice(24, None)])
def test_a_damaged_packed_file_is_named(tmp_path: Path, cut: slice) -> None:
    packed = gzip.compress("\n".join(f'{{"question": "{i}?"}}' for i in range(99)).encode())
    path = tmp_path / "own.jsonl.gz"
    path.write_bytes(packed[:12] + packed[cut])
    with pytest.raises(DataError, match="cannot read"):
        open_task(f"questions:{path}").problems(1, np.random.default_rng(0))
