"""Tasks of lm-evaluation-harness: written and read back, others' forms, and what is refused."""

import json

import numpy as np
import pytest

from workbench.errors import DataError
from workbench.sampling.harness_files import read_harness, write_harness
from workbench.sampling.items import items_of, manifest
from workbench.sampling.task import open_task


def test_written_questions_come_back_the_same(tmp_path):
    items = items_of(open_task("counterbench?nodes=4"), 6, np.random.default_rng(0))
    path = write_harness(items, tmp_path, "events")
    found, _ = read_harness(path)
    assert manifest(found) == manifest(items)
    assert [i.proof for i in found] == [i.proof for i in items]
    again = open_task(f"harness:{path}").items(4, np.random.default_rng(1))
    assert manifest(again) == manifest(items[:4])


def _written(tmp_path, task, rows):
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = tmp_path / "task.yaml"
    head = "dataset_kwargs: {data_files: {test: rows.jsonl}}\ntest_split: test\n"
    path.write_text(head + task)
    return path


@pytest.mark.parametrize(
    ("choice", "target"),
    [
        ('["red", "blue"]', "right"),
        ("['{{a}}', '{{b}}']", "{{right}}"),
        ('"{{[a, b]}}"', "index"),
    ],
)
def test_fields_and_templates_of_other_tasks_are_read(tmp_path, choice, target):
    task = f"doc_to_text: 'Colour of {{{{what}}}}?'\ndoc_to_choice: {choice}\n"
    row = {"what": "sky", "a": "red", "b": "blue", "right": "blue", "index": 1}
    task += f"doc_to_target: '{target}'\n"
    ((item,), _) = read_harness(_written(tmp_path, task, [row]))
    assert (item.prompt, item.choices, item.answer) == ("Colour of sky?", ("red", "blue"), "blue")


@pytest.mark.parametrize(
    ("task", "match"),
    [
        ("doc_to_text: !function code.ask\n", "no plain YAML"),
        ("doc_to_text: a\n", "doc_to_choice"),
        ("doc_to_text: '{{gone}}'\ndoc_to_choice: [x, y]\ndoc_to_target: '0'\n", "gone"),
        ("doc_to_text: t\ndoc_to_choice: [x, y]\ndoc_to_target: '7'\n", "no row of .* fits"),
        (
            "doc_to_text: \"{{''.__class__.__mro__}}\"\ndoc_to_choice: [x, y]\n"
            "doc_to_target: '0'\n",
            "no row of .* fits",
        ),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, task, match):
    with pytest.raises(DataError, match=match):
        read_harness(_written(tmp_path, task, [{"t": "a question"}]))


_GOOD = {"prompt": "Is it?", "choices": ["Yes", "No"], "gold": 1}


@pytest.mark.parametrize(
    ("odd", "fault"),
    [
        ({"gold": 7}, "7 is right"), ({"gold": -1}, "-1 is right"), ({"gold": None}, "None is"),
        ({"gold": True}, "True is right"), ({"gold": 0.5}, "0.5 is right"),
        ({"choices": ["Yes", None]}, "is empty"), ({"choices": ["Yes", ""]}, "is empty"),
        ({"choices": ["Yes", "Yes"]}, "two different"), ({"choices": "Yes, No"}, "a list"),
        ({"choices": "[Yes"}, "flow sequence"), ({"prompt": " "}, "prompt is empty"),
        ({"prompt": None}, "prompt is empty"), ({"choices": [True, False]}, "truth values"),
    ],
)  # fmt: skip
def test_good_rows_are_kept_and_odd_ones_named(tmp_path, odd, fault):
    path = tmp_path / "rows.jsonl"
    rows = [_GOOD, _GOOD | odd, _GOOD | {"gold": 1.0}, _GOOD | {"gold": "No"}, [1]]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n{broken")
    task = open_task(f"harness:{path}")
    assert [item.answer for item in task.items(9, np.random.default_rng(0))] == ["No"] * 3
    (place, told), (_, kind), (_, broken) = task.skipped(9)
    assert place == "rows.jsonl:2"
    assert fault in told
    assert "not an object" in kind
    assert "not valid JSON" in broken


def test_rows_of_a_table_are_questions(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(
        '\ufeffquestion;choices;answer\n"Is it; then?";"[Yes, No]";No\nOr?;[a, b];1\nx\n'
    )
    items = open_task(f"harness:{path}").items(9, np.random.default_rng(0))
    assert [(i.prompt, i.answer, i.id) for i in items] == [
        ("Is it; then?", "No", "rows:2"),
        ("Or?", "b", "rows:3"),
    ]
    assert open_task(f"harness:{path}").skipped(9) == [("rows.csv:4", "1 cells; the header has 3")]


def test_data_elsewhere_are_refused(tmp_path):
    path = tmp_path / "task.yaml"
    path.write_text("dataset_path: some/set\ndoc_to_text: a\ndoc_to_choice: b\ndoc_to_target: c\n")
    with pytest.raises(DataError, match="beside it"):
        read_harness(path)
