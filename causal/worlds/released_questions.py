"""Released yes/no questions with their facts: CLadder, CounterBench and files of their form."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from causal.worlds.released_rows import Row
from workbench.errors import DataError
from workbench.sampling.items import Item

_ANSWERS = {"yes": True, "1": True, "true": True, "no": False, "0": False, "false": False}


FIELDS = "given_info, question and answer (yes or no)"


def is_question(row: Mapping[str, Any]) -> bool:
    """Whether a row holds facts, a question and an answer."""
    return {"given_info", "question", "answer"} <= set(row)


def meta_of(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a question tells of itself, empty where it tells nothing."""
    found = row.get("meta")
    return found if isinstance(found, Mapping) else {}


def stated_answer(row: Mapping[str, Any]) -> bool:
    """Return whether the released answer is yes.

    Raises:
        DataError: it is neither yes nor no.
    """
    said = str(row.get("answer")).strip().lower().rstrip(".")
    if said not in _ANSWERS:
        raise DataError(f"the answer is {row.get('answer')!r}; expected yes or no")
    return _ANSWERS[said]


def yes_no_item(
    path: Path, row: Row, task: str, backgrounds: Mapping[Any, str] | None = None
) -> Item:
    """Return a released question, its answer as it is; its model's background stands before it.

    Raises:
        DataError: the row is no question, or its answer is neither yes nor no.
    """
    if not is_question(row.values):
        raise DataError(f"no question; the row has {', '.join(map(str, row.values)) or 'nothing'}")
    meta, is_yes = meta_of(row.values), stated_answer(row.values)
    before = (backgrounds or {}).get(meta.get("model_id"), "")
    parts = (before, row.values["given_info"], row.values["question"])
    kind = str(meta.get("query_type", row.values.get("type", "released")))
    return Item(
        id=f"{path.stem}:{row.line}",
        task=task,
        family=kind,
        prompt=" ".join(str(p).strip() for p in parts if str(p).strip()),
        gold=int(not is_yes),
        group=f"model-{meta.get('model_id', row.line)}",
        template=f"{kind} {meta.get('polarity', '')}",
        meta={k: v for k, v in meta.items() if isinstance(v, str | int | float | bool)},
    )
