"""Readings as tables, estimates and charts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from probes.geometry.columns import (
    METRICS,
    REMOVAL_COLUMNS,
    ROGUE_COLUMNS,
    SPECTRUM_COLUMNS,
    WORD_COLUMNS,
    layer_columns,
)
from probes.geometry.control import Null
from probes.geometry.null import CONTROL_NAME, GaussianNull
from probes.geometry.reader import LayerReadings
from probes.geometry.reading import Reading
from workbench.result.estimate import Estimate
from workbench.result.tables import Table
from workbench.result.views import Curve, Heatmap, View

ROGUE_RANKS = 10
_SPECTRUM_RANKS = 64


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in the model a reading was taken."""

    layer: int
    site: str


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How much data the readings rest on; `n_units` of `unit` are what was resampled."""

    n_tokens: int
    n_texts: int
    n_sampled: int
    n_units: int
    unit: str
    d_model: int

    @property
    def is_reliable(self) -> bool:
        """Whether there are at least ten tokens per dimension."""
        return self.n_tokens >= 10 * self.d_model


Read = Sequence[tuple[Place, LayerReadings]]


def layer_table(read: Read, counts: Counts) -> Table:
    """Return one row per place with every metric, its interval and its control."""
    rows = []
    for place, layer in read:
        row: dict[str, Any] = {"layer": place.layer, "site": place.site}
        row |= {name: _number(layer.metrics.get(name)) for name in METRICS}
        row |= {
            "n_tokens": counts.n_tokens,
            "n_texts": counts.n_texts,
            "n_sampled": counts.n_sampled,
            "mean_norm": layer.mean_norm,
            "max_norm": layer.max_norm,
            "reliable": counts.is_reliable,
        }
        for name in METRICS:
            reading = layer.metrics.get(name)
            interval = reading.interval if reading else None
            control = reading.control if reading else None
            row[f"{name}_low"] = interval.low if interval else None
            row[f"{name}_high"] = interval.high if interval else None
            row[f"{name}_control"] = control.value if control else None
            row[f"{name}_control_sd"] = control.sd if control else None
        rows.append(row)
    return Table.from_rows(rows, layer_columns())


def spectrum_table(read: Read, null: GaussianNull) -> Table:
    """Return eigenvalue shares at up to 64 ranks, spaced evenly on a logarithmic axis."""
    ranks = spectrum_ranks(len(null.shares))
    rows = [
        {
            "layer": place.layer,
            "site": place.site,
            "rank": int(rank),
            "share": float(layer.spectrum[rank - 1] / layer.spectrum.sum()),
            "share_control": float(null.shares[rank - 1]),
        }
        for place, layer in read
        if layer.spectrum.any()
        for rank in ranks
    ]
    return Table.from_rows(rows, SPECTRUM_COLUMNS)


def spectrum_ranks(d_model: int) -> list[int]:
    """Return up to 64 ranks from 1 to d, dense at the start."""
    if d_model <= _SPECTRUM_RANKS:
        return list(range(1, d_model + 1))
    spaced = np.unique(np.geomspace(1, d_model, _SPECTRUM_RANKS).round().astype(int))
    return [int(rank) for rank in spaced]


def rogue_table(read: Read) -> Table:
    """Return the ten largest contributors to the mean cosine of each place."""
    rows = []
    for place, layer in read:
        parts = layer.contributions
        rogue = layer.metrics.get("rogue_share")
        total = float(parts.sum()) if rogue is not None and rogue.number is not None else None
        for rank, k in enumerate(np.argsort(-parts, kind="stable")[:ROGUE_RANKS], start=1):
            rows.append(
                {
                    "layer": place.layer,
                    "site": place.site,
                    "rank": rank,
                    "dimension": int(k),
                    "contribution": float(parts[k]),
                    "share": float(parts[k] / total) if total else None,
                }
            )
    return Table.from_rows(rows, ROGUE_COLUMNS)


def removal_table(read: Read) -> Table:
    """Return the cosine before and after the largest contributors are removed."""
    rows = [
        {
            "layer": place.layer,
            "site": place.site,
            "removed": removal.k,
            "mean_cosine": removal.mean_cosine,
            "r_squared": removal.r_squared,
            "n_pairs": removal.n_pairs,
        }
        for place, layer in read
        for removal in layer.removals
    ]
    return Table.from_rows(rows, REMOVAL_COLUMNS)


def word_table(read: Read, decode: Callable[..., str] | None) -> Table:
    """Return one row per frequent token and place."""
    rows = []
    for place, layer in read:
        base = _number(layer.metrics.get("mean_cosine"))
        for word in layer.words.words if layer.words else ():
            rows.append(
                {
                    "layer": place.layer,
                    "site": place.site,
                    "word": decode([word.token_id]) if decode else str(word.token_id),
                    "token_id": word.token_id,
                    "n": word.n,
                    "self_similarity": word.similarity,
                    "self_similarity_adjusted": None if base is None else word.similarity - base,
                    "max_explained_variance": word.explained,
                    "max_explained_variance_control": word.explained_chance,
                }
            )
    return Table.from_rows(rows, WORD_COLUMNS)


def estimates(read: Read, counts: Counts) -> tuple[Estimate, ...]:
    """Return every metric of the last places: the last layer, and after the final norm."""
    found = []
    for place, layer in read[-2:]:
        for name, reading in layer.metrics.items():
            unit, _ = METRICS[name]
            interval, control = reading.interval, reading.control
            found.append(
                Estimate(
                    name=f"{name}.{place.site}",
                    value=reading.number,
                    unit=unit,
                    n=counts.n_units,
                    n_unit=counts.unit,
                    low=interval.low,
                    high=interval.high,
                    method=interval.method,
                    control=control.value if control else None,
                    control_name=_control_name(name, control),
                    note=reading.reason,
                )
            )
    return tuple(found)


def views(tables: Mapping[str, Table]) -> tuple[View, ...]:
    """Return the charts of the tables that hold rows."""
    found: list[View] = [
        _curve("Cosine between tokens", ("mean_cosine",)),
        _curve("Su–Collier isotropy", ("su_collier_pooled", "su_collier_per_text")),
        _curve("IsoScore, raw and corrected", ("isoscore", "isoscore_corrected")),
        _curve("Effective dimensions", ("effective_rank", "participation_ratio", "stable_rank")),
        _curve("Intrinsic dimension", ("two_nn_dimension",)),
        _curve("Partition isotropy at unit mean norm", ("partition_isotropy_scaled",)),
        Curve(
            title="Spectrum",
            table="spectrum",
            x="rank",
            y=("share",),
            group="site",
            control=("share_control",),
            log_x=True,
            log_y=True,
        ),
        Heatmap(
            title="Rogue dimensions: share of the mean cosine",
            table="rogue",
            row="site",
            column="rank",
            value="share",
            text="dimension",
        ),
        Curve(
            title="Cosine without rogue dimensions",
            table="removal",
            x="layer",
            y=("mean_cosine",),
            group="removed",
        ),
    ]
    if len(tables.get("words", ())):
        found.append(_curve("Contexts of one token", ("self_similarity",)))
    return tuple(view for view in found if len(tables[_table(view)]))


def _curve(title: str, metrics: tuple[str, ...]) -> Curve:
    control = tuple(f"{name}_control" for name in metrics)
    return Curve(title=title, table="layers", x="layer", y=metrics, control=control)


def _table(view: View) -> str:
    return view.table if isinstance(view, Curve | Heatmap) else ""


def _control_name(metric: str, control: Null | None) -> str:
    """Name what gives the control, and its number of draws and spread."""
    if control is None:
        return ""
    if metric == "self_similarity":
        return "mean cosine of all pairs"
    what = "as many random tokens" if metric == "max_explained_variance" else CONTROL_NAME
    return f"{what}, {control}"


def _number(reading: Reading | None) -> float | None:
    return reading.number if reading else None
