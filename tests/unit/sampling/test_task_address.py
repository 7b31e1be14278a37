"""A task is written in one line: name, file, options."""

import json

import numpy as np
import pytest

from workbench.errors import BadOption, DataError, UnknownName
from workbench.runs.spec import DataRef
from workbench.sampling.address import TaskAddress
from workbench.sampling.task import open_task
from workbench.sampling.tasks.arithmetic import Arithmetic


@pytest.mark.parametrize(
    ("text", "name", "path", "options"),
    [
        ("arithmetic", "arithmetic", "", {}),
        (
            "arithmetic?steps=1&largest=60",
            "arithmetic",
            "",
            {"steps": "1", "largest": "60"},
        ),
        ("gsm8k:a/test.jsonl", "gsm8k", "a/test.jsonl", {}),
        ("a/test.jsonl", "questions", "a/test.jsonl", {}),
        ("b.jsonl?grader=math", "questions", "b.jsonl", {"grader": "math"}),
        ("questions:b.jsonl?answer=a%26b", "questions", "b.jsonl", {"answer": "a&b"}),
        ("", "", "", {}),
    ],
)
def test_an_address_is_taken_apart(text, name, path, options):
    assert TaskAddress.parse(text) == TaskAddress(name=name, path=path, options=options)


@pytest.mark.parametrize("text", ["arithmetic?", "a?steps", "a?=1", "a?steps=1&steps=2", "a?x=1&"])
def test_broken_options_are_refused(text):
    with pytest.raises(BadOption, match="name=value"):
        TaskAddress.parse(text)


def test_options_reach_the_task():
    assert open_task("arithmetic?steps=1&largest=60") == Arithmetic(steps=1, largest=60)
    assert open_task("arithmetic?examples=false").is_chat
    problem = open_task("arithmetic?steps=1").problems(1, np.random.default_rng(0))[0]
    assert len(problem.steps) == 1


@pytest.mark.parametrize("text", ["arithmetic?steps=9", "arithmetic?stps=1", "arithmetic?steps=x"])
def test_options_are_checked_with_the_known_ones_named(text):
    with pytest.raises(BadOption, match="task arithmetic: ") as caught:
        open_task(text)
    assert "arithmetic?steps=2" in caught.value.hint


def test_files_take_options_and_are_pinned(tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text(json.dumps({"q": "1 + 1?", "answer": r"\\boxed{2}"}))
    task = open_task(f"{path}?question=q&grader=math")
    assert [p.question for p in task.problems(5, np.random.default_rng(0))] == ["1 + 1?"]
    for address in (str(path), f"questions:{path}", f"gsm8k:{path}?question=q"):
        assert DataRef(task=address).file == path
    assert DataRef(task="arithmetic?steps=1").file is None


def test_what_does_not_exist_is_named():
    with pytest.raises(UnknownName, match="no task is called 'nothing'"):
        open_task("nothing?steps=1")
    with pytest.raises(DataError, match=r"no file 'gone\.jsonl'"):
        open_task("gone.jsonl")


def test_answers_in_words_are_choices(tmp_path):
    path = tmp_path / "own.jsonl"
    rows = [("Is ice cold?", "yes"), ("Is fire cold?", "no"), ("Is snow warm?", "no ")]
    path.write_text("\n".join(json.dumps({"question": q, "answer": a}) for q, a in rows))
    with pytest.raises(DataError, match="nothing that the grader can compare") as caught:
        open_task(str(path)).problems(3, np.random.default_rng(0))
    assert "own.jsonl?grader=words" in caught.value.hint
    task = open_task(f"{path}?grader=words")
    first, _, last = task.problems(3, np.random.default_rng(0))
    assert task.choices(first) == ("yes", "no")
    assert task.prompt(first).endswith('finish with "The answer is" and one of: yes, no.')
    assert task.is_correct(first, "Ice is frozen water. The answer is Yes.")
    assert not task.is_correct(last, "The answer is yes.")
    assert task.is_correct(last, "The answer is no.")
    assert open_task(f"{path}?grader=choice").choices(first) == ()


def test_many_answers_in_words_are_not_listed_and_nought_is_one_of_them(tmp_path):
    path = tmp_path / "own.jsonl"
    rows = [{"question": f"{i}?", "answer": 0 if not i else f"w{i}"} for i in range(13)]
    path.write_text("\n".join(map(json.dumps, rows)))
    task = open_task(f"{path}?grader=words")
    found = task.problems(20, np.random.default_rng(0))
    assert [p.answer for p in found][:2] == ["0", "w1"]
    assert task.choices(found[0])[0] == "0"
    assert task.prompt(found[0]).endswith('finish with "The answer is" and the answer in words.')
