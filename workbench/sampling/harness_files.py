"""Choice questions in the form of lm-evaluation-harness tasks, out and in."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import TemplateError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from workbench.errors import DataError, StoreError
from workbench.sampling.items import Item
from workbench.sampling.rows import rows_or_faults

_SPLITS = ("test_split", "validation_split", "training_split")
_PLAIN = {
    "task": "questions",
    "doc_to_text": ("prompt", "question"),
    "doc_to_choice": ("choices",),
    "doc_to_target": ("gold", "label", "answer"),
}


def write_harness(items: Sequence[Item], folder: Path, name: str) -> Path:
    """Write NAME.yaml and NAME.jsonl, a multiple-choice task, and return the former.

    Raises:
        StoreError: the folder cannot be written to.
    """
    rows = [
        {"id": i.id, "prompt": i.prompt, "choices": list(i.choices), "gold": i.gold,
         "group": i.group, "family": i.family, "template": i.template, "proof": list(i.proof)}
        for i in items
    ]  # fmt: skip
    task = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{name}.jsonl"}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{prompt}}\nAnswer:",
        "doc_to_choice": "choices",
        "doc_to_target": "gold",
        "metric_list": [{"metric": m, "aggregation": "mean", "higher_is_better": True}
                        for m in ("acc", "acc_norm")],
    }  # fmt: skip
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(task, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror or error}") from error
    return path


def read_harness(path: Path) -> tuple[list[Item], list[tuple[str, str]]]:
    """Return the questions of a local multiple-choice task, and the place and fault of other rows.

    `path` is a task, or its rows alone with the fields prompt (or question), choices and gold (or
    label, or answer: the choice or its number from 0). Templates see nothing but the row.

    Raises:
        DataError: the task is of another form, its data are not local, or no row fits.
    """
    is_task = path.suffix.lower() in (".yaml", ".yml")
    task = _task(path) if is_task else _PLAIN
    missing = [k for k in ("doc_to_text", "doc_to_choice", "doc_to_target") if k not in task]
    if missing or task.get("output_type", "multiple_choice") != "multiple_choice":
        raise DataError(
            f"{path} is no multiple-choice task: no {', '.join(missing) or 'such output_type'}",
            hint="doc_to_text, doc_to_choice and doc_to_target, each a field or a template",
        )
    data = _data(task, path) if is_task else path
    found: list[Item] = []
    wrong: list[tuple[str, str]] = []
    for line, row in rows_or_faults(data):
        item = row if isinstance(row, str) else _item_or_fault(task, row, f"{path.stem}:{line}")
        if isinstance(item, str):
            wrong.append((f"{data.name}:{line}", item))
        else:
            found.append(item)
    if not found:
        told = "; ".join(f"{place}: {fault}" for place, fault in wrong[:3])
        raise DataError(
            f"no row of {data} fits{f': {told}' if told else ', which is empty'}",
            hint="a prompt, two different choices or more, and which is right",
        )
    return found, wrong


def _task(path: Path) -> Mapping[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    except yaml.YAMLError as error:
        raise DataError(
            f"{path} is no plain YAML: {' '.join(str(error).split())[:160]}",
            hint="tasks that call Python functions cannot be read; write fields or templates",
        ) from error
    if not isinstance(values, dict):
        raise DataError(f"{path} holds a {type(values).__name__}; expected a task")
    return values


def _data(task: Mapping[str, Any], path: Path) -> Path:
    files = dict(task.get("dataset_kwargs") or {}).get("data_files")
    if isinstance(files, Mapping):
        split = next((task[s] for s in _SPLITS if task.get(s) in files), None)
        files = files.get(split)
    files = files[0] if isinstance(files, list) and files else files
    if not isinstance(files, str) or not (path.parent / files).is_file():
        raise DataError(
            f"{path} names the data {files!r}; expected a JSON or JSON-lines file beside it",
            hint="dataset_kwargs: {data_files: {test: FILE.jsonl}} and test_split: test",
        )
    return path.parent / files


def _item_or_fault(task: Mapping[str, Any], row: Mapping[str, Any], name: str) -> Item | str:
    try:
        return _item(task, row, name)
    except DataError as error:
        return error.message
    except (TemplateError, ValueError, TypeError, yaml.YAMLError) as error:
        return " ".join(str(error).split())[:120]


def _item(task: Mapping[str, Any], row: Mapping[str, Any], name: str) -> Item:
    raw = task["doc_to_choice"]
    choices = [_filled(c, row) for c in raw] if isinstance(raw, list) else _filled(raw, row)
    if isinstance(choices, str):
        # Words as they are written: YAML would make a truth value of Yes and of No.
        node = yaml.compose(choices, Loader=yaml.SafeLoader)
        if isinstance(node, yaml.SequenceNode):
            choices = [scalar.value for scalar in node.value]
    if not isinstance(choices, list):
        raise DataError(f"the choices are {choices!r}; expected a list")
    words = tuple("" if c is None else str(c).strip() for c in choices)
    prompt = str(_filled(task["doc_to_text"], row) or "").removesuffix("Answer:").rstrip()
    if not prompt or not all(words):
        raise DataError("the prompt is empty" if not prompt else f"a choice of {choices} is empty")
    if any(isinstance(c, bool) for c in choices):
        raise DataError(f"the choices {choices} are truth values; expected words in quotes")
    gold = _gold(_filled(task["doc_to_target"], row), words)
    return Item(
        id=str(row.get("id", name)),
        task=str(task.get("task", "harness")),
        family=str(row.get("family", task.get("task", "harness"))),
        prompt=prompt,
        choices=words,
        gold=gold,
        group=str(row.get("group", row.get("id", name))),
        template=str(row.get("template", "")),
        proof=tuple(map(str, row.get("proof") or ())),
    )


def _gold(target: object, words: Sequence[str]) -> int:
    text = str(target).strip()
    if text in words:
        return words.index(text)
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number.is_integer() or not 0 <= number < len(words):
        raise DataError(f"{target!r} is right; expected one of {list(words)} or its number from 0")
    return int(number)


def _filled(told: object, row: Mapping[str, Any]) -> Any:
    """Return the field of that name, or the template filled with the row.

    Of several fields the first that the row has is meant.
    """
    if isinstance(told, tuple):
        told = next((name for name in told if name in row), f"{{{{{told[0]}}}}}")
    if not isinstance(told, str):
        return told
    if told in row:
        return row[told]
    environment = ImmutableSandboxedEnvironment(undefined=_Missing, autoescape=False)
    return environment.from_string(told).render(**row)


class _Missing(Undefined):
    def __str__(self) -> str:
        raise DataError(f"the row has no field {self._undefined_name!r}")
