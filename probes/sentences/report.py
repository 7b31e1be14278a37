"""What the sentence lens found: a grid of written states, and how much they say, by layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from probes.sentences.grid import ACTUAL, RANDOM, SWAPPED, Cell
from probes.sentences.scores import Target, cell_rows
from workbench.methods.study_report import study_report
from workbench.result.estimate import Estimate
from workbench.result.metric import Axes, Axis, Control, Plot, number, share
from workbench.result.result import Note, Result
from workbench.result.row_samples import samples_of
from workbench.result.samples import Samples
from workbench.result.tables import Column, columns_from
from workbench.result.views import Heatmap, Points

Rows = Sequence[Mapping[str, Any]]
_LABEL = 28
_BY_LAYER = ("way", "layer")
_FLUENT = Note(
    "the decoder writes a fluent sentence from any vector: believe one only where it has more in "
    "common with its sentence than both controls",
    code="fluent",
)


METRICS = {
    "overlap": share("Words in common with the sentence.", *_BY_LAYER, unit="F1"),
    "next_overlap": share("Words in common with the sentence after it.", *_BY_LAYER, unit="F1"),
    "exact": share("Written as the sentence itself, word for word.", *_BY_LAYER),
    "faithfulness": number(
        "F1 difference",
        "Words in common less those of the state put in its place; 0: the state says nothing.",
        *_BY_LAYER,
        bounds=(-1, 1),
    ),
    "cosine": number("", "Cosine with the codec's own vector of the sentence.", *_BY_LAYER),
    "logprob": number("nats", "Mean log-probability of the tokens written.", *_BY_LAYER),
}
CONTROLS = {
    RANDOM: Control("random vector", "the same from random vectors of the same length"),
    SWAPPED: Control("another sentence's state", "the same from the state of another sentence"),
}
AXES = {
    "way": Axis(help="How the states were read."),
    "layer": Axis(help="Layer whose output is read, counted from 0."),
}
COLUMNS = columns_from("""
    reading: How the state was read, and whether it is a control.
    place: The sentence or step, by its number and first words.
    written: What the decoder writes from the state; fluent whatever it is.
    nearest: Known sentence whose vector points most nearly the same way.
    nearest_cosine: Cosine with that one's vector.
    sentence: The sentence itself.
    x: First principal component of the directions of all states.
    y: Second principal component.
""") | {"layer": Column(help=AXES["layer"].help)}
PLOTS = (
    Heatmap(
        "States written as sentences",
        "grid",
        row="place",
        column="layer",
        value="logprob",
        text="written",
        group="reading",
        details=("sentence", "overlap", "cosine", "nearest", "nearest_cosine"),
        lines=3,
    ),
    Plot(title="Words in common with the sentence", metrics=("overlap",), axes=_BY_LAYER),
    Plot(title="Written word for word", metrics=("exact",), axes=_BY_LAYER),
    Plot(title="What swapping the state changes", metrics=("faithfulness",), axes=_BY_LAYER),
    Points(
        "The way through the layers on the plane of greatest variance",
        "path",
        x="x",
        y="y",
        color="layer",
        label="place",
        path="place",
    ),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class LensGrid:
    """The cells of a grid, with what its columns stand for and the states behind them.

    `best` names the layer at which each way is judged and `unit` what is counted. What a text or
    a chain adds of its own: a verdict, estimates, samples with a table for each set of their axes,
    rows with their columns, notes and charts.
    """

    cells: Sequence[Cell]
    targets: Sequence[Target]
    states: Float[Tensor, "n layer d_model"]
    layers: Sequence[int]
    best: Mapping[str, int]
    unit: str
    verdict: str = ""
    estimates: Sequence[Estimate] = ()
    samples: Sequence[Samples] = ()
    averages: Mapping[str, Axes] = field(default_factory=dict)
    rows: Mapping[str, Rows] = field(default_factory=dict)
    columns: Mapping[str, Column] = field(default_factory=dict)
    notes: Sequence[Note] = ()
    plots: Sequence[Plot] = ()

    def result(self) -> Result:
        """Describe what was seen, with its controls."""
        rows = cell_rows(self.cells, self.targets)
        found = samples_of(
            rows,
            METRICS,
            by=("target",),
            group="unit",
            kind="kind",
            unit=self.unit,
            controls_of=CONTROLS,
            axes_of=AXES,
        )
        estimates = (*self.estimates, *_at_best(found, self.best))
        return study_report(
            (found, *self.samples),
            summary=self.verdict + "; ".join(map(str, estimates[:3])) + ".",
            estimates=estimates,
            averages={"layers": _BY_LAYER, **self.averages},
            rows={
                "grid": _in_order(rows),
                "path": path_rows(self.states, self.layers, self.targets),
                **self.rows,
            },
            columns={**COLUMNS, **self.columns},
            notes=(_FLUENT, *self.notes),
            plots=(*PLOTS, *self.plots),
        )


def named(number: str, sentence: str) -> str:
    """Return the name of a column: its number and how the sentence begins."""
    cut = sentence if len(sentence) <= _LABEL else sentence[: _LABEL - 1] + "…"
    return f"{number} {cut}"


def _at_best(found: Samples, best: Mapping[str, int]) -> list[Estimate]:
    """Return words in common and faithfulness of each way at its layer, beside controls."""
    estimates = []
    for way, layer in best.items():
        at, of = {"way": way, "layer": layer}, f"{way}, layer {layer}"
        estimates.append(found.estimate("overlap", RANDOM, at, f"words in common, {of}"))
        if "faithfulness" in found.metrics:
            mean = found.estimate("faithfulness", at=at, name=f"faithfulness, {of}")
            estimates.append(mean.against(0.0, "states that say nothing of it"))
    return estimates


def _in_order(rows: Rows) -> Rows:
    """Return the rows of the grid: reading by reading, states before their controls."""
    ways, kinds = list(dict.fromkeys(row["way"] for row in rows)), (ACTUAL, RANDOM, SWAPPED)
    ordered = sorted(rows, key=lambda row: (ways.index(row["way"]), kinds.index(row["kind"])))
    hidden = ("target", "unit", "way", "kind", "faithfulness")
    return [
        {"reading": f"{row['way']}: {row['kind']}"}
        | {name: x for name, x in row.items() if name not in hidden}
        for row in ordered
    ]


def path_rows(
    states: Float[Tensor, "n layer d_model"], layers: Sequence[int], targets: Sequence[Target]
) -> Rows:
    """Return where the direction of each state lies on the plane of greatest variance."""
    unit = torch.nn.functional.normalize(states.double(), dim=-1)
    flat = unit.reshape(-1, unit.shape[-1])
    flat = flat - flat.mean(dim=0)
    _, _, axes = torch.linalg.svd(flat, full_matrices=False)
    plane = (flat @ axes[:2].T).reshape(len(targets), len(layers), -1)
    return [
        {
            "place": target.name,
            "layer": layer,
            "x": float(plane[i, j, 0]),
            "y": float(plane[i, j, 1]) if plane.shape[-1] > 1 else 0.0,
        }
        for i, target in enumerate(targets)
        for j, layer in enumerate(layers)
    ]
