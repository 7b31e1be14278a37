"""What the sentence lens found: a grid of written states, and how much they say, by layer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from probes.boundary.grid import OTHER, RANDOM, STATE, Cell
from probes.boundary.scores import Goal, Slice, average, mean_cells, overlap
from workbench.methods.contracts import Context
from workbench.result.control_words import with_control
from workbench.result.estimate import Estimate
from workbench.result.intervals import grouped_mean_estimate
from workbench.result.tables import Column, Table
from workbench.result.views import Curve, Heatmap, Points, View

_LABEL = 28


def named(number: str, sentence: str) -> str:
    """Return the name of a column: its number and how the sentence begins."""
    cut = sentence if len(sentence) <= _LABEL else sentence[: _LABEL - 1] + "…"
    return f"{number} {cut}"


def grid_table(cells: Sequence[Cell], goals: Sequence[Goal]) -> Table:
    """Return one row per cell; controls are rows of the same shape under another reading."""
    rows = []
    ways = list(dict.fromkeys(cell.way for cell in cells))
    kinds = (STATE, RANDOM, OTHER)
    for cell in sorted(cells, key=lambda c: (ways.index(c.way), kinds.index(c.kind))):
        goal, near = goals[cell.goal], cell.written.nearest
        rows.append(
            {
                "reading": f"{cell.way}: {cell.kind}",
                "layer": cell.layer,
                "place": goal.name,
                "written": cell.written.text,
                "logprob": cell.written.logprob,
                "overlap": overlap(cell.written.text, goal.sentence),
                "next_overlap": overlap(cell.written.text, goal.after) if goal.after else None,
                "cosine": cell.cosine,
                "nearest": near[0][0] if near else "",
                "nearest_cosine": near[0][1] if near else None,
                "sentence": goal.sentence,
            }
        )
    return Table.from_rows(rows, _GRID)


def layer_table(cells: Sequence[Cell], goals: Sequence[Goal], context: Context) -> Table:
    """Return what the states of each layer say, with both controls beside it."""
    found = []
    for way, layer in dict.fromkeys((cell.way, cell.layer) for cell in cells):
        some = Slice(cells, goals, way, layer)
        states, swapped = some.overlaps(STATE), some.overlaps(OTHER)
        shared = some.shared()
        found.append(
            {
                "way": way,
                "layer": layer,
                "n": len(states),
                **mean_cells("overlap", states, some.units(STATE), context),
                "random_n": len(some.of(RANDOM)),
                **mean_cells("random_overlap", some.overlaps(RANDOM), some.units(RANDOM), context),
                "other_overlap": average(swapped),
                "next_overlap": average(some.next_overlaps()),
                "exact": average(some.exact(STATE)),
                "random_exact": average(some.exact(RANDOM)),
                "other_exact": average(some.exact(OTHER)),
                **mean_cells("faithfulness", shared, some.units(OTHER), context),
                "cosine": average([c.cosine for c in some.of(STATE)]),
                "other_cosine": average([c.cosine for c in some.of(OTHER)]),
                "logprob": average([c.written.logprob for c in some.of(STATE)]),
                "random_logprob": average([c.written.logprob for c in some.of(RANDOM)]),
            }
        )
    return Table.from_rows(found, _LAYERS)


def layer_estimates(
    cells: Sequence[Cell],
    goals: Sequence[Goal],
    at: Mapping[str, int],
    context: Context,
    n_unit: str,
) -> tuple[Estimate, ...]:
    """Return words in common and faithfulness of each way at its layer, beside controls."""
    found = []
    for way, layer in at.items():
        some = Slice(cells, goals, way, layer)
        told = (
            ("words in common", STATE, some.overlaps(STATE), RANDOM, some.overlaps(RANDOM)),
            ("faithfulness", OTHER, some.shared(), "states that say nothing of it", [0.0]),
        )
        for name, kind, values, control, null in told:
            if values:
                mean = grouped_mean_estimate(
                    f"{name}, {way}, layer {layer}",
                    values,
                    [str(unit) for unit in some.units(kind)],
                    unit="F1" if kind == STATE else "F1 difference",
                    generator=context.stream("sentence lens bootstrap"),
                    n_unit=n_unit,
                    resamples=context.resamples,
                    bounds=(0.0, 1.0) if kind == STATE else (-1.0, 1.0),
                )
                found.append(_beside(mean, control, null, some, context))
    return tuple(found)


def _beside(
    mean: Estimate, control: str, null: Sequence[float], some: Slice, context: Context
) -> Estimate:
    if control != RANDOM or not null:
        return replace(mean, control=average(null), control_name=control)
    other = grouped_mean_estimate(
        control,
        null,
        [str(unit) for unit in some.units(RANDOM)],
        unit=mean.unit,
        generator=context.stream("sentence lens control"),
        n_unit=mean.n_unit,
        resamples=context.resamples,
    )
    return with_control(mean, control, other, null)


def path_table(
    states: Float[Tensor, "n layer d_model"], layers: Sequence[int], goals: Sequence[Goal]
) -> Table:
    """Return where the direction of each state lies on the plane of greatest variance."""
    unit = torch.nn.functional.normalize(states.double(), dim=-1)
    flat = unit.reshape(-1, unit.shape[-1])
    flat = flat - flat.mean(dim=0)
    _, _, axes = torch.linalg.svd(flat, full_matrices=False)
    plane = (flat @ axes[:2].T).reshape(len(goals), len(layers), -1)
    rows = [
        {
            "place": goal.name,
            "layer": layer,
            "x": float(plane[i, j, 0]),
            "y": float(plane[i, j, 1]) if plane.shape[-1] > 1 else 0.0,
        }
        for i, goal in enumerate(goals)
        for j, layer in enumerate(layers)
    ]
    return Table.from_rows(rows, _PATH)


def views(n_layers: int) -> tuple[View, ...]:
    """Return the grid, the curves over layers where there are some, and the map."""
    grid = Heatmap(
        title="States written as sentences",
        table="grid",
        row="place",
        column="layer",
        value="logprob",
        text="written",
        group="reading",
        details=("sentence", "overlap", "cosine", "nearest", "nearest_cosine"),
        lines=3,
    )
    curves = tuple(
        Curve(title=title, table="layers", x="layer", y=(y,), group="way", control=control)
        for title, y, control in (
            ("Words in common with the sentence", "overlap", ("random_overlap", "other_overlap")),
            ("Written word for word", "exact", ("random_exact", "other_exact")),
            ("What swapping the state changes", "faithfulness", ()),
        )
    )
    path = Points(
        title="The way through the layers on the plane of greatest variance",
        table="path",
        x="x",
        y="y",
        color="layer",
        label="place",
        path="place",
    )
    return (grid, *(curves if n_layers > 1 else ()), path)


_LAYER = Column(help="Layer whose output is read, counted from 0.")
_PLACE = Column(help="The sentence or step, by its number and first words.")
_GRID = {
    "reading": Column(help="How the state was read, and whether it is a control."),
    "layer": _LAYER,
    "place": _PLACE,
    "written": Column(help="What the decoder writes from the state; fluent whatever it is."),
    "logprob": Column("nats", "Mean log-probability of the tokens written."),
    "overlap": Column("F1", "Words in common with the sentence."),
    "next_overlap": Column("F1", "Words in common with the sentence after it."),
    "cosine": Column("", "Cosine with the codec's own vector of the sentence."),
    "nearest": Column(help="Known sentence whose vector points most nearly the same way."),
    "nearest_cosine": Column("", "Cosine with that one's vector."),
    "sentence": Column(help="The sentence itself."),
}
_LAYERS = {
    "way": Column(help="How the states were read."),
    "layer": _LAYER,
    "n": Column("sentences", "Sentences or steps read."),
    "overlap": Column("F1", "Words in common with the sentence.", "overlap_low", "overlap_high"),
    "random_n": Column("sentences", "Sentences or steps with a random vector beside them."),
    "random_overlap": Column(
        "F1",
        "The same from random vectors of the same length.",
        "random_overlap_low",
        "random_overlap_high",
    ),
    "other_overlap": Column("F1", "The same from the state of another sentence."),
    "next_overlap": Column("F1", "Words in common with the sentence after it."),
    "exact": Column("proportion", "States written as the sentence itself, word for word."),
    "random_exact": Column("proportion", "The same from random vectors."),
    "other_exact": Column("proportion", "The same from the state of another sentence."),
    "faithfulness": Column(
        "F1 difference",
        "Words in common less those of the state put in its place; 0: the state says nothing.",
        "faithfulness_low",
        "faithfulness_high",
    ),
    "cosine": Column("", "Cosine with the codec's own vector of the sentence."),
    "other_cosine": Column("", "The same for the state of another sentence."),
    "logprob": Column("nats", "Mean log-probability of the tokens written."),
    "random_logprob": Column("nats", "The same from random vectors."),
}
_PATH = {
    "place": _PLACE,
    "layer": _LAYER,
    "x": Column("", "First principal component of the directions of all states."),
    "y": Column("", "Second principal component."),
}
