"""How much a written state says: words in common with the sentence it should say."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from probes.sentences.grid import ACTUAL, SWAPPED, Cell

_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a column of the grid stands for: a sentence of a text, or a step of a chain.

    `after` is what comes next; `unit` is the text or problem that intervals resample.
    """

    name: str
    sentence: str
    after: str
    unit: int


def overlap(one: str, other: str) -> float:
    """Return the F1 of the words two sentences have in common, numbers and marks included."""
    a, b = (Counter(_WORD.findall(text.lower())) for text in (one, other))
    if not a or not b:
        return float(not a and not b)
    return 2 * sum((a & b).values()) / (sum(a.values()) + sum(b.values()))


def cell_rows(cells: Sequence[Cell], targets: Sequence[Target]) -> list[dict[str, Any]]:
    """Return what each cell says of its target, in the order of ways and kinds.

    `faithfulness` is how much more of its sentence a state says than the state put in its place.
    """
    swapped = {
        (cell.way, cell.layer, cell.target): overlap(
            cell.written.text, targets[cell.target].sentence
        )
        for cell in cells
        if cell.kind == SWAPPED
    }
    return [_row(cell, targets[cell.target], swapped) for cell in cells]


def _row(cell: Cell, target: Target, swapped: dict[tuple[str, int, int], float]) -> dict[str, Any]:
    words = overlap(cell.written.text, target.sentence)
    other = swapped.get((cell.way, cell.layer, cell.target)) if cell.kind == ACTUAL else None
    return {
        "target": cell.target,
        "unit": target.unit,
        "way": cell.way,
        "kind": cell.kind,
        "layer": cell.layer,
        "place": target.name,
        "written": cell.written.text,
        "logprob": cell.written.logprob,
        "overlap": words,
        "next_overlap": overlap(cell.written.text, target.after) if target.after else None,
        "exact": float(cell.written.text.split() == target.sentence.split()),
        "faithfulness": None if other is None else words - other,
        "cosine": cell.cosine,
        "nearest": cell.written.nearest[0][0] if cell.written.nearest else "",
        "nearest_cosine": cell.written.nearest[0][1] if cell.written.nearest else None,
        "sentence": target.sentence,
    }
