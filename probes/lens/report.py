"""A lens as tables, estimates and views."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from probes.lens.metrics import METRICS
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context
from workbench.model.sites import Kind, Site
from workbench.result.estimate import Estimate
from workbench.result.intervals import mean_estimate, mean_interval
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Curve, Heatmap, View

_WORDS = {
    "kl": ("nats", "KL divergence of the lens from the model's own next-token distribution"),
    "nll": ("nats", "negative log-likelihood of the true next token under the lens"),
    "agreement": ("proportion", "positions where lens and model rank the same token first"),
    "rank": ("rank", "geometric mean rank of the true next token under the lens (1 is best)"),
    "entropy": ("nats", "entropy of the lens distribution"),
}
_SHARES = ("agreement",)
_SHOWN_AS = {"log_rank": "rank"}
_KINDS = {
    "random": "random vectors of the same length through the same lens",
    "shuffled": "the states of other positions of the same text",
    "plain": "the logit lens, without translation",
}
_SHORT = {"random": "random vectors", "plain": "logit lens"}
_IN_CONTROLS = ("kl", "nll", "agreement")


@dataclass(frozen=True, kw_only=True, eq=False)
class LensCounts:
    """One mean per text, kind (lens or control), site and metric; NaN where undefined."""

    sites: tuple[Site, ...]
    kinds: tuple[str, ...]
    means: Float[np.ndarray, "text kind site metric"]
    n_tokens: Int[np.ndarray, " text"]
    shown: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Averages:
    """Means over texts with bootstrap bounds, each `kind site metric`."""

    value: Float[np.ndarray, "kind site metric"]
    low: Float[np.ndarray, "kind site metric"]
    high: Float[np.ndarray, "kind site metric"]


def report(counts: LensCounts, context: Context) -> Result:
    """Average over texts and describe every layer.

    Raises:
        TooLittleData: no text has a position to count.
    """
    used = counts.n_tokens > 0
    if not used.any():
        raise TooLittleData(
            "no text has a position to read a lens at",
            hint="texts need at least two tokens, since the first position is left out",
        )
    averages = _average(counts.means[used], context)
    tables = {"layers": _layer_table(counts, averages)}
    if counts.shown:
        tables["tokens"] = _token_table(counts, context)
    return Result(
        summary=_summary(counts, averages),
        estimates=_estimates(counts, context),
        tables=tables,
        notes=_notes(counts, context),
        views=_views(counts),
    )


def _average(means: Float[np.ndarray, "text kind site metric"], context: Context) -> _Averages:
    n, shape = len(means), means.shape[1:]
    flat = means.reshape(n, -1)
    defined = np.isfinite(flat)
    filled = np.where(defined, flat, 0.0)
    with np.errstate(invalid="ignore"):
        value = filled.sum(axis=0) / defined.sum(axis=0)
    shares = np.broadcast_to([metric in _SHARES for metric in METRICS], shape).ravel()
    intervals = [
        mean_interval(column[known], bounds=(0.0, 1.0) if is_share else None)
        if known.any()
        else None
        for column, known, is_share in zip(flat.T, defined.T, shares, strict=True)
    ]
    low = np.array([i.low if i else np.nan for i in intervals]).reshape(shape)
    high = np.array([i.high if i else np.nan for i in intervals]).reshape(shape)
    return _Averages(value=value.reshape(shape), low=low, high=high)


def _layer(site: Site) -> int:
    return -1 if site.kind is not Kind.RESID_POST or site.layer is None else site.layer


def _layer_table(counts: LensCounts, averages: _Averages) -> Table:
    rows = []
    for i, site in enumerate(counts.sites):
        row: dict[str, Any] = {"layer": _layer(site), "site": str(site)}
        for m, metric in enumerate(METRICS):
            row |= _cells(averages, 0, i, m, _SHOWN_AS.get(metric, metric))
        for k, kind in enumerate(counts.kinds[1:], start=1):
            for metric in _IN_CONTROLS:
                row[f"{metric}_{kind}"] = _number(averages.value[k, i, METRICS.index(metric)])
            row[f"n_{kind}"] = int(np.isfinite(counts.means[:, k, i, METRICS.index("kl")]).sum())
        row["n_tokens"] = int(counts.n_tokens.sum())
        row["n_texts"] = int((counts.n_tokens > 0).sum())
        rows.append(row)
    return Table.from_rows(rows, _columns(counts.kinds))


def _cells(
    averages: _Averages, kind: int, site: int, metric: int, name: str
) -> dict[str, float | None]:
    cells = {
        name: averages.value[kind, site, metric],
        f"{name}_low": averages.low[kind, site, metric],
        f"{name}_high": averages.high[kind, site, metric],
    }
    if name == "rank":
        cells = {key: np.exp(value) for key, value in cells.items()}
    return {key: _number(value) for key, value in cells.items()}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _columns(kinds: tuple[str, ...]) -> dict[str, Column]:
    columns = {
        "layer": Column(help="Layer whose output is read; −1 is the input of the first one."),
        "site": Column(help="Where the states were read."),
        "n_tokens": Column("tokens", "Positions counted."),
        "n_texts": Column("texts", "Texts; intervals resample them."),
    }
    for name, (unit, words) in _WORDS.items():
        sentence = f"{words[0].upper()}{words[1:]}; mean over positions, then over texts."
        columns[name] = Column(unit, sentence, f"{name}_low", f"{name}_high")
        columns[f"{name}_low"] = Column(unit, "Lower end of the 95 % bootstrap interval.")
        columns[f"{name}_high"] = Column(unit, "Upper end of the interval.")
    for kind in kinds[1:]:
        words = _KINDS[kind]
        columns[f"n_{kind}"] = Column("texts", f"Texts compared with {words}.")
        for name in _IN_CONTROLS:
            columns[f"{name}_{kind}"] = Column(_WORDS[name][0], f"Control: {words}.")
    return columns


def _token_table(counts: LensCounts, context: Context) -> Table:
    decode = context.decode or (lambda ids: str(ids[0]))
    rows = []
    for position, token in enumerate(counts.shown["shown_ids"]):
        word = decode([int(token)])
        for i, site in enumerate(counts.sites):
            rows.append(
                {
                    "layer": _layer(site),
                    "position": position,
                    "token": f"{position} {word!r}",
                    "prediction": decode([int(counts.shown["shown_top"][i, position])]),
                    "probability": float(counts.shown["shown_chance"][i, position]),
                }
            )
    columns = {
        "layer": Column(help="Layer whose output is read."),
        "position": Column(help="Place in the shown text, counted from its first shown token."),
        "token": Column(help="The token read at that place."),
        "prediction": Column(help="The next token the lens ranks first."),
        "probability": Column("probability", "Its probability under the lens."),
    }
    return Table.from_rows(rows, columns)


def _estimates(counts: LensCounts, context: Context) -> tuple[Estimate, ...]:
    """Means over all layers but the last, which is the model itself."""
    used = counts.means[counts.n_tokens > 0]
    layers = slice(0, max(1, len(counts.sites) - 1))
    control = counts.kinds.index("plain") if "plain" in counts.kinds else 1
    found = []
    for metric in ("kl", "agreement", "nll"):
        per_text = used[:, :, layers, METRICS.index(metric)].mean(axis=2)
        defined = per_text[np.isfinite(per_text[:, 0])]
        if not len(defined):
            continue
        estimate = mean_estimate(
            f"mean {metric}",
            defined[:, 0],
            unit=_WORDS[metric][0],
            generator=context.stream(f"lens bootstrap {metric}"),
            resamples=context.resamples,
            bounds=(0.0, 1.0) if metric in _SHARES else None,
        )
        beside = defined[np.isfinite(defined[:, control]), control]
        found.append(
            replace(
                estimate,
                control=float(beside.mean()) if len(beside) else None,
                control_name=_SHORT[counts.kinds[control]],
                note="mean over all layers but the last",
            )
        )
    return tuple(found)


def _summary(counts: LensCounts, averages: _Averages) -> str:
    kl = averages.value[0, :, METRICS.index("kl")]
    agreement = averages.value[0, :, METRICS.index("agreement")]
    half = next((i for i, share in enumerate(agreement) if share >= 0.5), len(agreement) - 1)
    last_but_one = max(len(kl) - 2, 0)
    return (
        f"KL from the final layer: {kl[0]:.3g} nats at {counts.sites[0]}, "
        f"{kl[last_but_one]:.3g} at {counts.sites[last_but_one]}; half of the top tokens agree "
        f"from {counts.sites[half]} on"
    )


def _notes(counts: LensCounts, context: Context) -> tuple[Note, ...]:
    notes = []
    empty = int((counts.n_tokens == 0).sum())
    if empty:
        notes.append(Note(f"{empty} texts are too short and were not counted", "warning"))
    if not np.isfinite(counts.means[:, 1, :, METRICS.index("kl")]).any():
        notes.append(Note("no text was compared with the controls", "warning", "control"))
    if context.spec is not None and context.spec.dtype not in ("float32", "float64"):
        notes.append(
            Note(f"the model runs in {context.spec.dtype}; small KL values are rounding", "warning")
        )
    return tuple(notes)


def _views(counts: LensCounts) -> tuple[View, ...]:
    def curve(title: str, y: str) -> Curve:
        controls = tuple(f"{y}_{kind}" for kind in counts.kinds[1:])
        return Curve(title=title, table="layers", x="layer", y=(y,), control=controls)

    views: list[View] = [
        curve("Distance from the final prediction", "kl"),
        curve("Surprise at the true next token", "nll"),
        curve("Same first choice as the model", "agreement"),
        Curve(title="Entropy", table="layers", x="layer", y=("entropy",)),
    ]
    if counts.shown:
        views.append(
            Heatmap(
                title="What each layer would say next",
                table="tokens",
                row="layer",
                column="token",
                value="probability",
                text="prediction",
            )
        )
    return tuple(views)
