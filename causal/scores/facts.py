"""What is known of each row beside its scores: name, domain and, on a leaderboard, more."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from causal.scores.domains import Label, base_model
from causal.scores.files import RawTable
from causal.scores.numerals import MISSING, read_column
from causal.scores.schemas import Schema
from workbench.errors import BadRows

TRUTHS = {"true": True, "1": True, "1.0": True, "yes": True}
BOOLEANS = ("merged", "moe", "flagged", "chat_template")
# The one domain of a table without domains.
ALL_ROWS = "all rows"


def read_facts(raw: RawTable, schema: Schema, *, domains: bool = True) -> pd.DataFrame:
    """Return the facts of every row under fixed names, with domain and evidence.

    Without `domains`, or where nothing tells them, all rows form one domain.

    Raises:
        BadRows: rows without a model name.
    """
    facts = pd.DataFrame(index=raw.frame.index)
    for fact, column in schema.facts.items():
        if column in raw.frame:
            facts[fact] = _fact(fact, list(raw.frame[column]))
    if "model" in facts:
        _check_names(raw, schema, facts)
    else:
        facts.insert(0, "model", [f"row {i + 1}" for i in range(len(facts))])
    if not domains:
        facts["domain"] = ""
    if "domain" not in facts:
        labels = [_label(row) for row in facts.to_dict("records")]
        facts["domain"] = [label.base_model for label in labels]
        facts["evidence"] = [label.evidence for label in labels]
    elif "evidence" not in facts:
        facts["evidence"] = ["declared" if d else "none" for d in facts["domain"]]
    if not domains or ("domain" not in schema.facts and (facts["domain"] == "").all()):
        facts["domain"], facts["evidence"] = ALL_ROWS, "none"
    return facts


def _fact(fact: str, values: list[Any]) -> list[Any]:
    if fact in BOOLEANS:
        return [TRUTHS.get(str(v).strip().lower(), False) for v in values]
    if fact == "parameters_b":
        return list(read_column(values, "", "point").values)
    words = [_word(v) for v in values]
    # Models and base models may carry any name; a domain called "n/a" is none.
    return ["" if w.lower() in MISSING else w for w in words] if fact == "domain" else words


def _word(value: Any) -> str:
    if pd.isna(value):
        return ""
    # A column of whole numbers with an empty cell is one of floats.
    if isinstance(value, float | np.floating) and np.isfinite(value) and value == round(value):
        return str(int(value))
    return str(value).strip()


def _check_names(raw: RawTable, schema: Schema, facts: pd.DataFrame) -> None:
    nameless = np.flatnonzero((facts["model"] == "").to_numpy())
    if len(nameless):
        raise BadRows(
            f"{len(nameless)} rows have no model name in {schema.facts['model']!r}, "
            f"first {raw.place(int(nameless[0]))}"
        )


def _label(row: Mapping[Hashable, Any]) -> Label:
    return base_model(
        str(row["model"]),
        str(row.get("declared", "")),
        str(row.get("architecture", "")),
        float(str(row.get("parameters_b", "nan"))),
    )
