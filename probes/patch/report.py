"""What patching found over all pairs, and how it is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.stats import spearmanr

from probes.patch.metrics import UNITS
from probes.patch.runs import SAME, UNRELATED
from probes.patch.tables import COLUMNS, CONTROLS, SHUFFLED, Patched, pair_rows, shown_pairs
from workbench.errors import NotFinite
from workbench.methods.contracts import Context
from workbench.methods.study_report import study_report
from workbench.model.model import Model
from workbench.result.metric import Axis, Metric, Plot, number
from workbench.result.result import Note, Result
from workbench.result.samples import VALUE, Samples
from workbench.result.views import Heatmap


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was patched, in which direction, judged by what.

    `labels` are the rows of the map: layers, or names of groups.
    """

    at: str
    cells: str
    labels: tuple[int | str, ...]
    direction: str
    metric: str
    attribution: bool

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes of the map."""
        return ("group",) if self.cells == "whole" else ("layer", self.cells)


def report(
    asked: Asked,
    found: Sequence[Patched],
    model: Model,
    context: Context,
    notes: Sequence[Note],
) -> Result:
    """Average over pairs, beside the controls."""
    if not all(np.isfinite([one.clean, one.corrupted]).all() for one in found):
        raise NotFinite(f"the {asked.metric} is not finite", hint="load the model in float32")
    axes, is_grid = asked.axes, asked.cells == "place"
    samples = _samples(asked, found, context)
    denoise = asked.direction == "denoise"
    shown = {}
    if is_grid:
        layers = [int(label) for label in asked.labels]
        shown = shown_pairs(found, layers, model, samples, denoise=denoise)
    told = [n for n in ("effect", "attribution") if samples.has(n, axes=axes)]
    return study_report(
        samples,
        summary=_summary(samples, axes, asked),
        averages={f"{axes[-1]}s": axes},
        rows={"pairs": pair_rows(found, model, asked.labels, asked.cells), **shown},
        columns=COLUMNS,
        plots=[
            *(Plot(title=_TITLES[name], metrics=(name,), axes=axes) for name in told),
            *(_map(name, found) for name in told if is_grid),
        ],
        estimates=[
            samples.estimate(name, control, name=said)
            for name, control, said in _ESTIMATES
            if samples.has(name)
        ],
        notes=[*notes, *_doubts(found, asked)],
    )


def _samples(asked: Asked, found: Sequence[Patched], context: Context) -> Samples:
    labels, axes = _labels(found, asked.cells), asked.axes
    values = _values(found, labels, context, asked.cells)
    if asked.cells == "whole":
        of_rows = {"group": Axis(help="Sites patched at once.", labels=asked.labels)}
    else:
        words = "Head." if asked.cells == "head" else "Slot of the token."
        of_rows = {
            "layer": Axis(help="Layer, counted from 0.", labels=asked.labels),
            axes[1]: Axis(help=words, labels=labels),
        }
    return Samples.of(
        values,
        {name: metric for name, metric in _metrics(asked, axes).items() if name in values[VALUE]},
        groups=_groups(found),
        unit="pairs",
        controls_of=CONTROLS,
        axes_of=of_rows,
    )


def _map(name: str, found: Sequence[Patched]) -> Heatmap:
    return Heatmap(
        f"{_TITLES[name]}, token by token",
        "grid",
        row="layer",
        column="place",
        value=name,
        group="text" if len(found) > 1 else "",
    )


_TITLES = {"effect": "Effect of a patch", "attribution": "Effect by attribution"}
_ESTIMATES = (
    ("moved", UNRELATED, "moved"),
    ("same_text", "", "same_text"),
    ("correlation", SHUFFLED, "attribution_rank_correlation"),
    ("difference", "", "difference"),
    ("through_all", "", "sender_by_every_way"),
    ("directly", "", "sender_directly"),
)


def _ratio(sums: Float[np.ndarray, "*axes part"]) -> Float[np.ndarray, "*axes"]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[..., 0] / sums[..., 1] + 0.0)


def _metrics(asked: Asked, axes: tuple[str, ...]) -> dict[str, Metric]:
    unit, share = UNITS[asked.metric], "share of the difference"
    return {
        "effect": number(
            share, "Effect of a patch; 1 is that of the whole text.", *axes, of=_ratio
        ),
        "attribution": number(share, "The same to first order.", *axes, of=_ratio),
        "moved": number(unit, "Mean |change| of the metric by a patch."),
        "same_text": number(unit, "Largest |change| by a patch from the same text; must be 0."),
        "correlation": number(
            "rank correlation", "Of attribution with exact effects.", bounds=(-1, 1)
        ),
        "through_all": number(share, "Effect of the sender by every way.", of=_ratio),
        "directly": number(share, "Effect of what it writes on the last layer alone.", of=_ratio),
        "difference": number(unit, "Metric of the donor's run less that of the receiver's."),
    }


def _labels(found: Sequence[Patched], cells: str) -> tuple[Any, ...]:
    if cells != "place":
        return tuple(range(found[0].cells.shape[1]))
    names = max((one.pair.places for one in found), key=lambda p: len({place.name for place in p}))
    every = dict.fromkeys(place.name for place in names)
    every |= dict.fromkeys(place.name for one in found for place in one.pair.places)
    return (*(name for name in every if name != "end"), "end")


def _values(
    found: Sequence[Patched], labels: Sequence[Any], context: Context, cells: str
) -> dict[str, dict[str, NDArray[np.float64]]]:
    values: dict[str, dict[str, list[Any]]] = {VALUE: {}}
    for one in found:
        member = _membership(one, labels, cells)
        for kind, moved in one.moved.items():
            mine = values.setdefault(kind, {})
            mine.setdefault("effect", []).append(_parts(moved, member, one.difference, cells))
            if kind != SAME:
                mine.setdefault("moved", []).append(_mean(np.abs(moved)))
            else:
                values[VALUE].setdefault("same_text", []).append(np.nanmax(np.abs(moved)))
        if one.slopes is not None:
            parts = _parts(one.slopes, member, one.difference, cells)
            values[VALUE].setdefault("attribution", []).append(parts)
            if one.moved:
                exact, draw = one.moved[VALUE], context.stream(f"cells {one.pair.number}")
                null = draw.permutation(exact.reshape(-1)).reshape(exact.shape)
                for kind, x in ((VALUE, exact), (SHUFFLED, null)):
                    rank = values.setdefault(kind, {}).setdefault("correlation", [])
                    rank.append(rank_correlation(x, one.slopes))
        values[VALUE].setdefault("difference", []).append(one.difference)
        for name, whole in one.ways.items():
            values[VALUE].setdefault(name, []).append([whole, one.difference])
    return {k: {n: np.array(x, np.float64) for n, x in v.items()} for k, v in values.items()}


def rank_correlation(
    a: Float[np.ndarray, "layer cell"], b: Float[np.ndarray, "layer cell"]
) -> float:
    """Return Spearman's correlation over the cells where both are defined and not both zero."""
    there = np.isfinite(a) & np.isfinite(b) & ((a != 0) | (b != 0))
    x, y = a[there], b[there]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(spearmanr(x, y).statistic)


def _membership(one: Patched, labels: Sequence[Any], cells: str) -> list[NDArray[np.int64]]:
    if cells != "place":
        return [np.array([i]) for i in range(len(labels))]
    names = [place.name for place in one.pair.places]
    return [np.array([i for i, n in enumerate(names) if n == label], np.int64) for label in labels]


def _parts(
    x: Float[np.ndarray, "layer cell"],
    member: Sequence[NDArray[np.int64]],
    difference: float,
    cells: str,
) -> Float[np.ndarray, "*axes two"]:
    """Return what is summed over pairs: the mean of each label's cells, and the difference."""
    above = np.stack([_mean(x[:, mine], axis=1) for mine in member], axis=1)
    above = above[:, 0] if cells == "whole" else above
    below = np.where(np.isfinite(above), difference, np.nan)
    return np.stack([above, below], axis=-1)


def _mean(x: NDArray[np.float64], axis: int | None = None) -> NDArray[np.float64]:
    there = np.isfinite(x)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(there, x, 0.0).sum(axis=axis) / there.sum(axis=axis))


def _groups(found: Sequence[Patched]) -> NDArray[np.int64]:
    names = [one.pair.group or f"pair {i}" for i, one in enumerate(found)]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _summary(samples: Samples, axes: tuple[str, ...], asked: Asked) -> str:
    name = "effect" if samples.has("effect", axes=axes) else "attribution"
    effects = samples.mean(name, axes=axes)
    if not np.isfinite(effects.value).any():
        return "No pair differs in the metric, so that no patch has an effect."
    best = np.unravel_index(np.nanargmax(effects.value), effects.value.shape)
    at = dict(
        zip(
            axes,
            (samples.axes_of[a].labels[i] for a, i in zip(axes, best, strict=True)),
            strict=True,
        )
    )
    where = (
        f"group {at['group']}"
        if asked.cells == "whole"
        else f"layer {at['layer']} at {axes[1]} {at[axes[1]]}"
    )
    found = samples.estimate(name, UNRELATED, at=at, name=f"{name} in {where}")
    moves = found.low is not None and found.low > (found.control or 0.0)
    verdict = (
        f"Patching {where} moves the answer" if moves else "No patch measurably moves the answer"
    )
    of_what = f" of {asked.at}" if asked.at else ""
    way = asked.direction.removesuffix("e")
    return f"{verdict}. Largest {way}ing effect{of_what}: {found}."


def _doubts(found: Sequence[Patched], asked: Asked) -> list[Note]:
    signs = {one.difference > 0 for one in found}
    notes = []
    if len(signs) > 1:
        n = sum(one.difference <= 0 for one in found)
        notes.append(
            Note(f"in {n} of {len(found)} pairs the donor has the lower metric", "warning", "signs")
        )
    if asked.metric == "kl" and asked.direction == "noise" and asked.attribution:
        text = "KL is flat where it is 0: attribution of noising sees nothing of it"
        notes.append(Note(text, "warning", "flat"))
    return notes
