"""Was an event necessary, was it sufficient? Short stories with both answers known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from causal.worlds.released_rows import fitting_rows
from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.items import YES_NO, Item, ItemTask

_ASKED = {
    "necessary": "Would {event} have failed to occur without {action}?",
    "sufficient": "Would {event} have occurred with {action} alone?",
}


@register("task", "actual-causes", source="Kıcıman et al. 2023, arXiv:2305.00050")
@dataclass(frozen=True, kw_only=True)
class ActualCauses(ItemTask):
    """Say of a short story whether an event was necessary, and whether it was sufficient.

    `actual-causes:vignettes.csv` reads rows with input, action, event, type and the answers
    necessary and sufficient (Yes or No); each row gives both questions. Stories are of the classic
    kinds: overdetermination, switch, early, late, double and bogus preemption, short circuit.
    Classic stories may be known from training: compare with new ones of the same kinds.

    Source: Kıcıman et al., section 4.2, questions in own words.
    """

    path: str = option("", help="File of stories with their answers.")

    def items(self, limit: int, generator: np.random.Generator) -> Sequence[Item]:
        """Return up to `limit` questions, two of each story.

        Raises:
            DataError: no file is named, it holds no story, or rows do not fit.
        """
        fields = "input, action, event, necessary and sufficient (Yes or No)"
        rows = fitting_rows(self.path, _fits, fields)
        return [
            _item(Path(self.path).stem, row.line, row.values, asked)
            for row in rows
            for asked in _ASKED
        ][:limit]


def _item(name: str, line: int, row: Mapping[str, Any], asked: str) -> Item:
    story = str(row["input"]).strip().removeprefix("Input:").strip()
    action, event = (str(row[field]).strip() for field in ("action", "event"))
    question = _ASKED[asked].format(action=action, event=event)
    return Item(
        id=f"{name}:{line}-{asked}",
        task="actual-causes",
        family=f"{asked}, {str(row.get('type') or 'story').strip().lower()}",
        prompt=f"{story} {question}",
        gold=YES_NO.index(str(row[asked]).strip().capitalize()),
        group=f"{name}:{line}",
        template=asked,
    )


def _fits(row: Mapping[str, Any]) -> bool:
    told = all(str(row.get(field) or "").strip() for field in ("input", "action", "event"))
    return told and all(str(row.get(f) or "").strip().capitalize() in YES_NO for f in _ASKED)
