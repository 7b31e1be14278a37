"""Released rows of Corr2Cause: premise, hypothesis and label in any of their forms."""

import re
from collections.abc import Mapping
from typing import Any

from workbench.errors import DataError

_BOTH = re.compile(r"\s*Premise:\s*(.+?)\s*\n?\s*Hypothesis:\s*(.+?)\s*", re.DOTALL)
_LABELS = {"1": True, "true": True, "yes": True, "entailment": True}
_LABELS |= {"0": False, "false": False, "no": False, "contradiction": False, "neutral": False}


def is_released(row: Mapping[str, Any]) -> bool:
    """Whether a row is one of this set."""
    return {"premise", "hypothesis"} <= set(row) or bool(_BOTH.fullmatch(str(row.get("input", ""))))


def parts(row: Mapping[str, Any]) -> tuple[str, str, bool, str]:
    """Return premise, hypothesis, whether it is said to follow, and the label as written.

    Raises:
        DataError: a field is missing or says something else.
    """
    both = _BOTH.fullmatch(str(row.get("input", "")))
    premise = str(row.get("premise", both[1] if both else ""))
    hypothesis = str(row.get("hypothesis", both[2] if both else ""))
    stated = str(row.get("label", row.get("relation", row.get("answer", "")))).strip()
    if not premise or not hypothesis:
        raise DataError("no premise and hypothesis")
    if stated.lower() not in _LABELS:
        raise DataError(f"the label is {stated!r}; expected 0, 1, entailment, neutral, …")
    return premise, hypothesis, _LABELS[stated.lower()], stated
