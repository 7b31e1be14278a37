"""What is reported of belief readouts: R² by layer and place, and the maps of a few sequences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from probes.beliefs.excess import METRICS as EXCESS
from probes.beliefs.excess import SYMBOL, after_axis
from probes.beliefs.symbols import SymbolRow, SymbolStates
from workbench.methods.shown import shown_tables, shown_text
from workbench.methods.study_report import study_report
from workbench.model.model import Model
from workbench.result.grid import GRID, TOKENS
from workbench.result.metric import LAYER, Control, Metric, Plot
from workbench.result.result import Note, Result
from workbench.result.samples import VALUE, Samples
from workbench.result.tables import Column, columns_from
from workbench.result.views import Heatmap, Points, TokenStrip
from workbench.sampling.processes.process import entropy_of, kl_of

_LINES = 2000


def share_explained(sums: Float[np.ndarray, "*axes part"]) -> Float[np.ndarray, "*axes"]:
    """Return 1 − unexplained/whole; undefined where nothing varies."""
    whole = np.where(sums[..., 1] > 0, sums[..., 1], np.nan)
    return np.asarray(1 - sums[..., 0] / whole)


METRICS = {
    "r2": Metric(
        unit="R²", help="Share of the beliefs' variance that is read.", of=share_explained,
        headline=None,
    ),
    "r2_after": Metric(
        unit="R²", help="The same by symbols seen.", axes=("layer", "after"), of=share_explained,
        headline=None,
    ),
    **EXCESS,
}  # fmt: skip
CONTROLS = {
    "shuffled": Control("shuffled beliefs", "beliefs of other sequences at the same place"),
    "symbol": SYMBOL,
}
_TOLD = {
    "distance": Metric(
        unit="total variation", help="Distance of the read belief from the exact one.",
        axes=("layer", "position"),
    ),
    "kl": Metric(unit="nats", help="KL(exact‖model) of the next symbol.", axes=("position",)),
    "doubt": Metric(unit="nats", help="Entropy of the exact belief.", axes=("position",)),
}  # fmt: skip
_AVERAGES = {
    "layers": ("layer",),
    "places": ("layer", "after"),
    "by_symbols_seen": ("after",),
}
_COLUMNS = columns_from("""
    penalty: Ridge penalty per example, the median over folds.
    features (dimensions): Width of the states.
    examples (symbols): Symbols that a readout is fitted to.
    p_over_n: Features over examples; a fit without a penalty is worst near 1.
    exact (probability): Exact belief in the first hidden state.
    read (probability): The same as read on held-out sequences, best layer.
    exact_second (probability): Exact belief in the second hidden state.
    read_second (probability): The same as read.
    sequence: Number of the sequence.
    seen (symbols): Symbols seen.
""") | {"layer": Column(help=LAYER.help)}

_PLOTS = (
    Plot(title="Beliefs read, by layer", metrics=("r2",)),
    Plot(title="By layer and symbols seen", metrics=("r2_after",), axes=("layer", "after")),
    Plot(title="Excess by symbols seen", metrics=("excess",), axes=("after",)),
    Points("Exact and read belief", "beliefs",
           x="exact", y="read", label="sequence", diagonal=True),
    Heatmap("Distance from the exact belief", GRID,
            row="layer", column="place", value="distance", group="text"),
    TokenStrip("KL from the exact predictor", TOKENS,
               token="token", color="kl", group="text", flag="ends_sentence"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """What held-out states of one layer are read as, by kind, and how the readout was fitted."""

    told: Mapping[str, NDArray[np.float64]]
    level: Mapping[str, NDArray[np.float64]]
    targets: Mapping[str, NDArray[np.float64]]
    penalty: float
    features: int
    examples: int

    def sums(self, kind: str) -> Float[np.ndarray, "n part"]:
        """Return the squared distance of each target from what was read, and from the mean."""
        y = self.targets[kind]
        parts = [((y - other[kind]) ** 2).sum(axis=1) for other in (self.told, self.level)]
        return np.stack(parts, axis=1)


def belief_report(  # noqa: PLR0913 - sequences, what was read of them, and how it is shown
    model: Model,
    rows: Sequence[SymbolRow],
    read: SymbolStates,
    judged: Sequence[Judged],
    beliefs: NDArray[np.float64],
    values: Mapping[str, Mapping[str, NDArray[np.float64]]],
    *,
    shown: int,
) -> Result:
    """Lay everything out; layer −1 is the input of the first layer."""
    layers = (-1, *range(len(judged) - 1))
    samples = _samples(rows, read, values, layers)
    best = int(np.nanargmax(samples.mean("r2").value))
    top = samples.estimate("r2", "shuffled", at={"layer": layers[best]})
    alone = samples.estimate("r2", "symbol", at={"layer": layers[best]}, name="r2 over symbol")
    excess = samples.estimate("excess", "symbol")
    tables = {
        "readouts": _readouts(judged, layers),
        "beliefs": _lines(read, judged[best]),
        **_shown(model, rows, read, judged, layers, shown),
    }
    return study_report(
        samples,
        summary=f"Beliefs are read best at layer {layers[best]}: {top}; the last symbol alone "
        f"tells {alone.control:.3g}. {excess}.",
        averages=_AVERAGES,
        rows=tables,
        columns=_COLUMNS,
        plots=_PLOTS,
        estimates=[top, alone, excess, samples.estimate("entropy")],
        notes=_notes(judged[best], values),
    )


def _samples(
    rows: Sequence[SymbolRow],
    read: SymbolStates,
    values: Mapping[str, Mapping[str, NDArray[np.float64]]],
    layers: tuple[int, ...],
) -> Samples:
    return replace(
        Samples.of(
            values,
            METRICS,
            unit="sequences",
            controls_of=CONTROLS,
            axes_of={"layer": replace(LAYER, labels=layers), "after": after_axis(rows)},
        ),
        sites=[str(site) for site in read.states],
    )


def _readouts(judged: Sequence[Judged], layers: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {
            "layer": layer,
            "penalty": one.penalty,
            "features": one.features,
            "examples": one.examples,
            "p_over_n": one.features / max(1, one.examples),
        }
        for layer, one in zip(layers, judged, strict=True)
    ]


def _lines(read: SymbolStates, best: Judged) -> list[dict[str, Any]]:
    exact, told = best.targets[VALUE], best.told[VALUE]
    second = min(1, exact.shape[1] - 1)
    return [
        {
            "sequence": int(read.owner[i]),
            "seen": int(read.after[i]),
            "exact": float(exact[i, 0]),
            "read": float(told[i, 0]),
            "exact_second": float(exact[i, second]),
            "read_second": float(told[i, second]),
        }
        for i in range(min(_LINES, len(exact)))
    ]


def _shown(
    model: Model,
    rows: Sequence[SymbolRow],
    read: SymbolStates,
    judged: Sequence[Judged],
    layers: Sequence[int],
    shown: int,
) -> Any:
    texts = []
    for number, row in enumerate(rows[:shown]):
        mine = np.flatnonzero(read.owner == number)
        exact = row.exact
        distance = np.full((len(layers), len(row.ids)), np.nan)
        strips = np.full((2, len(row.ids)), np.nan)
        for i, one in enumerate(judged):
            gap = np.abs(one.told[VALUE][mine] - one.targets[VALUE][mine]).sum(axis=1)
            distance[i, row.ends] = np.minimum(1.0, gap / 2)
        strips[0, row.ends[:-1]] = kl_of(exact.log_next[0, 1:-1], read.log_next[mine][:-1])
        strips[1, row.ends] = entropy_of(exact.log_beliefs[0, 1:])
        numbers = {
            (VALUE, "distance"): distance,
            (VALUE, "kl"): np.where(np.isfinite(strips[0]), strips[0], np.nan),
            (VALUE, "doubt"): strips[1],
        }
        texts.append(shown_text(number, row.ids, numbers, {}, (_TOLD, model.decode)))
    return shown_tables(texts, _TOLD, {}, layers, {})


def _notes(best: Judged, values: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> list[Note]:
    notes = []
    if best.features > best.examples / 2:
        notes.append(
            Note(
                f"{best.features} features for {best.examples} symbols: near as many, a readout "
                "overfits; give more sequences",
                "warning",
                "few-examples",
            )
        )
    if np.isnan(values[VALUE]["excess"]).all():
        notes.append(
            Note("the model spells symbols in several tokens: no excess is measured", "warning")
        )
    return notes
