"""Every metric of every layer as the Result that every front end shows."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from probes.geometry.metrics import (
    COLUMNS,
    CONTROLS_OF,
    FACTS,
    LAYER,
    OTHER_CONTROLS,
    PLOTS,
    metrics,
)
from probes.geometry.reader import Found, Reader
from probes.geometry.rogue import REMOVED
from probes.geometry.words import frequent
from workbench.methods.study_report import described, study_report
from workbench.result.readings import Readings
from workbench.result.result import Note, Result
from workbench.result.tables import Table

ROGUE_RANKS = 10
_SPECTRUM_RANKS = 64
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What was measured: a model of some layers, or one array."""

    n_layers: int
    is_array: bool


def report(
    reader: Reader, subject: Subject, notes: Callable[[Reader, Readings, Found], list[Note]]
) -> Result:
    """Read every layer and lay the readings out."""
    found = reader.read()
    readings = readings_of(reader, found, subject)
    rows = {
        "spectrum": _spectrum_rows(found, reader.null.shares),
        "rogue": _rogue_rows(found),
        "removal": _removal_rows(found),
        "words": _word_rows(reader, found),
    }
    named = {
        name: described([{**_place(readings, i), **row} for i, row in some], COLUMNS[name])
        for name, some in rows.items()
    }
    result = study_report(
        readings,
        summary=_summary(readings),
        averages={"layers": ("layer",)},
        rows=named,
        plots=PLOTS,
        estimates=readings.estimates(range(len(readings.layers))[-2:]),
        notes=notes(reader, readings, found),
    )
    layers = result.tables["layers"]
    about = {**layers.columns, "site": COLUMNS["rogue"]["site"]}
    for name, words in OTHER_CONTROLS.items():
        about[name] = replace(about[name], help=words)
    tables = {**result.tables, "layers": Table(layers.frame, about)}
    return replace(result, tables=tables, arrays={"spectrum": found.spectrum})


def readings_of(reader: Reader, found: Found, subject: Subject) -> Readings:
    """Return every metric beside the facts of every layer."""
    whole, n_sites = reader.whole, len(found.mean_norm)
    n_texts, blocks = int(whole.texts.sum()), int((whole.tokens > 0).sum())
    sites = reader.statistics.settings.sites
    is_one = subject.is_array and n_texts == 1
    d = found.spectrum.shape[1]
    facts: dict[str, NDArray[Any]] = {
        "n_tokens": np.full(n_sites, reader.n),
        "n_texts": np.full(n_sites, n_texts),
        "n_sampled": np.full(n_sites, len(reader.origins)),
        "mean_norm": found.mean_norm,
        "max_norm": found.max_norm,
        "reliable": np.full(n_sites, reader.n >= 10 * d),
    }
    n = blocks if is_one else n_texts
    return Readings(
        metrics=metrics(d),
        found=found.readings,
        layers=tuple(subject.n_layers if s.layer is None else s.layer for s in sites),
        sites=("x",) if subject.is_array else tuple(map(str, sites)),
        n=n,
        n_given=n + reader.statistics.n_empty,
        unit="blocks of rows" if is_one else "texts",
        controls_of=CONTROLS_OF,
        facts={name: (x, FACTS[name]) for name, x in facts.items()},
        layer=LAYER,
    )


def _place(readings: Readings, place: int) -> Row:
    return {"layer": readings.layers[place], "site": readings.sites[place]}


def _spectrum_rows(
    found: Found, control: Float[np.ndarray, " d_model"]
) -> Iterator[tuple[int, Row]]:
    """Yield eigenvalue shares at up to 64 ranks, spaced evenly on a logarithmic axis."""
    for i, spectrum in enumerate(found.spectrum):
        for rank in spectrum_ranks(len(spectrum)) if spectrum.any() else ():
            yield (
                i,
                {
                    "rank": rank,
                    "share": float(spectrum[rank - 1] / spectrum.sum()),
                    "share_control": float(control[rank - 1]),
                },
            )


def spectrum_ranks(d_model: int) -> list[int]:
    """Return up to 64 ranks from 1 to d, dense at the start."""
    if d_model <= _SPECTRUM_RANKS:
        return list(range(1, d_model + 1))
    spaced = np.unique(np.geomspace(1, d_model, _SPECTRUM_RANKS).round().astype(int))
    return [int(rank) for rank in spaced]


def _rogue_rows(found: Found) -> Iterator[tuple[int, Row]]:
    """Yield the ten largest contributors to the mean cosine of each place."""
    rogue = found.readings["rogue_share"].value
    for i, parts in enumerate(found.contributions):
        total = float(parts.sum()) if np.isfinite(rogue[i]) else 0.0
        for rank, k in enumerate(np.argsort(-parts, kind="stable")[:ROGUE_RANKS], start=1):
            yield (
                i,
                {
                    "rank": rank,
                    "dimension": int(k),
                    "contribution": float(parts[k]),
                    "share": float(parts[k] / total) if total else None,
                },
            )


def _removal_rows(found: Found) -> Iterator[tuple[int, Row]]:
    """Yield the cosine before and after the largest contributors are removed."""
    sampled = found.sampled
    for i in range(len(found.mean_norm)):
        for k in (k for k in REMOVED if f"r_squared_{k}" in sampled):
            r_squared = float(sampled[f"r_squared_{k}"][i])
            yield (
                i,
                {
                    "removed": k,
                    "mean_cosine": float(sampled[f"cosine_without_{k}"][i]),
                    "r_squared": r_squared if np.isfinite(r_squared) else None,
                    "n_pairs": int(sampled["n_pairs"][i]),
                },
            )


def _word_rows(reader: Reader, found: Found) -> Iterator[tuple[int, Row]]:
    """Yield one row per frequent token and place."""
    if not reader.sample.words:
        return
    decode, ids = reader.context.decode, reader.sample.token_ids
    base, sampled = found.readings["mean_cosine"].value, found.sampled
    for i in range(len(found.mean_norm)):
        for w, token in enumerate(frequent(ids)):
            similarity = sampled["similarity"][i, w, 0]
            told = {
                "self_similarity": similarity,
                "self_similarity_adjusted": similarity - base[i],
                "max_explained_variance": sampled["explained"][i, w, 0],
                "max_explained_variance_control": sampled["explained_chance"][i, w],
            }
            yield (
                i,
                {
                    "word": decode([token]) if decode else str(token),
                    "token_id": token,
                    "n": int((ids == token).sum()),
                    **{k: float(x) if np.isfinite(x) else None for k, x in told.items()},
                },
            )


def _summary(readings: Readings) -> str:
    last = readings.estimates([len(readings.layers) - 1])
    known = {e.name.split(".", 1)[0]: e for e in last if e.value is not None}
    words = []
    for name, label in (
        ("mean_cosine", "mean cosine"),
        ("isoscore_corrected", "corrected IsoScore"),
    ):
        if name in known:
            e = known[name]
            ends = f" [{e.low:.3g}, {e.high:.3g}]" if e.low is not None else ""
            null = "" if e.control is None else f", isotropic {e.control:.3g}"
            words.append(f"{label} {e.value:.3g}{ends}{null}")
    cosine = known.get("mean_cosine")
    verdict = ""
    if cosine is not None and cosine.low is not None and cosine.control is not None:
        is_tilted = cosine.low > cosine.control
        verdict = (
            "Tokens point the same way more than isotropic ones would. "
            if is_tilted
            else "Tokens do not measurably share a direction. "
        )
    what = "; ".join(words) or "no metric is defined"
    tokens, texts = (int(readings.facts[name][0][0]) for name in ("n_tokens", "n_texts"))
    return f"{verdict}At {readings.sites[-1]}: {what} ({tokens} tokens of {texts} texts)."


def undefined_notes(readings: Readings) -> list[Note]:
    """Say which metrics are undefined where, and why, once per reason."""
    where: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, place, reason in readings.undefined():
        where[name, reason].append(readings.sites[place])
    grouped: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (name, reason), places in where.items():
        grouped[reason, some(places)].append(name)
    return [
        Note(f"{', '.join(names)} undefined at {shown}: {reason}", "warning", "undefined")
        for (reason, shown), names in grouped.items()
    ]


def some(places: list[str]) -> str:
    """Name the first places and count the rest."""
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    return ", ".join(places[:3]) + more
