"""What was found on each pair, as rows and over the tokens of the first ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from probes.patch.pairs import Pair
from probes.patch.runs import ELSEWHERE, SAME, UNRELATED
from workbench.methods.shown import shown_tables, shown_text
from workbench.model.model import Model
from workbench.result.metric import Control, Metric
from workbench.result.samples import VALUE, Samples
from workbench.result.tables import Table, columns_from

SHUFFLED = "shuffled"
CONTROLS = {
    UNRELATED: Control("an unrelated pair", "patched from the donor of another pair", True),
    ELSEWHERE: Control("another place", "patched from another place of the donor"),
    SAME: Control("the same text", "patched from the receiver itself"),
    SHUFFLED: Control("shuffled cells", "the patches of the pair in random order"),
}
COLUMNS = columns_from("""
    pair: Number of the pair, from 0.
    text: Number of the pair, from 0.
    clean: Clean text.
    corrupted: Corrupted text, or where its noise is.
    answer: Token that the clean text calls for.
    wrong: Token that it is compared with.
    clean_score: Metric of the clean run, in its unit.
    corrupted_score: Metric of the corrupted run, in its unit.
    best: Layer and cell, or group, of the largest effect.
""")
_SHOWN = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Patched:
    """What was found on one pair.

    `moved[kind]` is how far each patch moved the metric, `layer cell`; `difference` how far the
    donor's whole text does; `slopes` the first order of it; `ways` how far the sender of a path
    does by every way and by the direct one.
    """

    pair: Pair
    clean: float
    corrupted: float
    difference: float
    answers: tuple[int, int]
    moved: Mapping[str, Float[np.ndarray, "layer cell"]]
    slopes: Float[np.ndarray, "layer cell"] | None
    ways: Mapping[str, float] = field(default_factory=dict)

    @property
    def cells(self) -> Float[np.ndarray, "layer cell"]:
        """The exact effects, or those of first order where no patch was run."""
        found = self.moved[VALUE] if self.moved else self.slopes
        return np.zeros((0, 0)) if found is None else found


def shown_pairs(
    found: Sequence[Patched],
    layers: Sequence[int],
    model: Model,
    about: Samples,
    *,
    denoise: bool,
) -> dict[str, Table]:
    """Return the token strip and the grid of the first pairs, at the receiver's tokens."""
    texts = []
    metrics = {
        name: Metric(unit=m.unit, help=m.help, axes=("layer", "position"))
        for name, m in about.metrics.items()
        if name in ("effect", "attribution")
    }
    for one in found[:_SHOWN]:
        ids = one.pair.corrupted if denoise else one.pair.clean
        columns = [p.corrupted if denoise else p.clean for p in one.pair.places]
        numbers = {}
        kinds = {(kind, "effect"): x for kind, x in one.moved.items()}
        kinds |= {(VALUE, "attribution"): one.slopes} if one.slopes is not None else {}
        for key, x in kinds.items():
            whole = np.full((len(layers), len(ids)), np.nan)
            if one.difference:
                whole[:, columns] = x[:, : len(columns)] / one.difference
            numbers[key] = whole
        texts.append(shown_text(one.pair.number, ids, numbers, {}, (metrics, model.decode)))
    return dict(shown_tables(texts, metrics, CONTROLS, layers, {}))


def pair_rows(
    found: Sequence[Patched], model: Model, labels: Sequence[int | str], cells: str
) -> list[dict[str, Any]]:
    """Return a row per pair: its texts, its answers and where its effect is largest."""
    rows = []
    for one in found:
        row, cell = np.unravel_index(np.nanargmax(np.abs(one.cells)), one.cells.shape)
        within = {"whole": "", "head": f" {cell}"}
        if cells == "place":
            within[cells] = f" {one.pair.places[int(cell)].name}"
        rows.append(
            {
                "pair": one.pair.number,
                "clean": model.decode(one.pair.clean),
                "corrupted": f"noise on {len(one.pair.noised)} tokens"
                if one.pair.noised
                else model.decode(one.pair.corrupted),
                "answer": model.decode([one.answers[0]]),
                "wrong": model.decode([one.answers[1]]),
                "clean_score": one.clean,
                "corrupted_score": one.corrupted,
                "best": f"{labels[int(row)]}{within[cells]}",
            }
        )
    return rows
