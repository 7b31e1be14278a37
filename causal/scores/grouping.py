"""Tasks of an embedding benchmark averaged by their kind."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from causal.scores.files import RawTable
from causal.scores.numerals import Mark, read_columns
from causal.scores.schemas import MTEB_GROUPS, Schema, family_name, task_group
from workbench.errors import BadOption, UnknownName
from workbench.result.result import Note


def group_tasks(
    raw: RawTable, schema: Schema, *, decimal: Mark | Literal[""] = ""
) -> tuple[RawTable, Schema]:
    """Average tasks by the kind their name ends with; families stand in for base models.

    Raises:
        BadOption: no column names the models.
        UnknownName: no column is a task of a known kind.
    """
    frame, model = raw.frame, schema.facts.get("model", "")
    if model not in frame:
        raise BadOption(
            "grouping tasks needs the names of the models", hint="name their column: --model-column"
        )
    groups = {g: [str(c) for c in frame if task_group(str(c)) == g] for g in MTEB_GROUPS}
    groups = {g: columns for g, columns in groups.items() if columns}
    if not groups:
        raise UnknownName("no column name ends in a known kind of task, so none can be grouped")
    used = [c for columns in groups.values() for c in columns]
    found = read_columns(frame, used, raw.separator, decimal)
    numeric = pd.DataFrame({name: column.values for name, column in found.items()})
    grouped = pd.DataFrame({"model": frame[model].to_numpy()})
    for group, columns in groups.items():
        # A mean over the tasks that happen to be present would compare unlike things.
        whole = numeric[columns].notna().all(axis=1)
        grouped[group] = numeric[columns].mean(axis=1).where(whole, np.nan)
    own = schema.facts.get("domain", "")
    grouped["domain"] = (
        frame[own].to_numpy() if own else [family_name(str(name)) for name in frame[model]]
    )
    told = Schema(
        name=f"{schema.name}-grouped",
        facts={"model": "model", "domain": "domain"},
        scores=tuple(groups),
    )
    left = frame.shape[1] - 1 - bool(own) - len(used)
    words = (
        f"{len(used)} tasks averaged into {len(groups)} groups by the end of their name, "
        f"{left} tasks left out"
    )
    if not own:
        words += "; the domain is the first word of the model's name, not a declared base model"
    note = Note(words, level="warning", code="grouped-tasks")
    return replace(raw, frame=grouped, notes=(*raw.notes, note)), told
