"""From running statistics to the Result that every front end shows."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from probes.geometry.notes import Circumstances, notes
from probes.geometry.reader import Reader, ReadingOptions
from probes.geometry.reading import Reading
from probes.geometry.statistics import IsotropyStatistics
from probes.geometry.tables import (
    Counts,
    Place,
    Read,
    estimates,
    layer_table,
    removal_table,
    rogue_table,
    spectrum_table,
    views,
    word_table,
)
from workbench.methods.contracts import Context
from workbench.result.result import Note, Result


@runtime_checkable
class Options(Protocol):
    """The options of the probe that matter after counting."""

    @property
    def exclude_first(self) -> bool:
        """Whether first tokens were left out."""

    @property
    def center(self) -> bool:
        """Whether cosine and partition metrics are about the mean."""

    @property
    def zeta(self) -> float:
        """The shrinkage of IsoScore*."""

    @property
    def words(self) -> bool:
        """Whether contexts of frequent tokens are compared."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What was measured: a model of some layers, or one array."""

    n_layers: int
    is_array: bool


def report(
    statistics: IsotropyStatistics, subject: Subject, options: Options, context: Context
) -> Result:
    """Read every layer and lay the readings out.

    Raises:
        TooLittleData: no token was counted.
    """
    reader = _reader(statistics, subject, options, context)
    places = _places(statistics, subject)
    read = []
    for i, place in enumerate(places):
        context.progress(i, len(places), "layers")
        read.append((place, reader.read(i)))
    context.progress(len(places), len(places), "layers")
    counts = _counts(reader)
    tables = {
        "layers": layer_table(read, counts),
        "spectrum": spectrum_table(read, reader.null),
        "rogue": rogue_table(read),
        "removal": removal_table(read),
    }
    if reader.options.words:
        tables["words"] = word_table(read, context.decode)
    return Result(
        summary=_summary(read, counts),
        estimates=estimates(read, counts),
        tables=tables,
        arrays={"spectrum": np.stack([layer.spectrum for _, layer in read])},
        notes=_notes(reader, subject, options, (read, counts)),
        views=views(tables),
    )


def _reader(
    statistics: IsotropyStatistics, subject: Subject, options: Options, context: Context
) -> Reader:
    one_text = int(statistics.texts.closed().texts.sum()) == 1
    chosen = ReadingOptions(
        center=options.center,
        zeta=options.zeta,
        words=options.words and not subject.is_array,
        unit="blocks of rows" if subject.is_array and one_text else "texts",
    )
    return Reader(statistics, chosen, context)


def _places(statistics: IsotropyStatistics, subject: Subject) -> list[Place]:
    return [
        Place(
            layer=subject.n_layers if site.layer is None else site.layer,
            site="x" if subject.is_array else str(site),
        )
        for site in statistics.settings.sites
    ]


def _counts(reader: Reader) -> Counts:
    n_texts = int(reader.whole.texts.sum())
    by_rows = reader.options.unit != "texts"
    return Counts(
        n_tokens=reader.n,
        n_texts=n_texts,
        n_sampled=len(reader.sample),
        n_units=int((reader.whole.tokens > 0).sum()) if by_rows else n_texts,
        unit=reader.options.unit,
        d_model=reader.statistics.d_model,
    )


def _notes(
    reader: Reader, subject: Subject, options: Options, found: tuple[Read, Counts]
) -> tuple[Note, ...]:
    read, counts = found
    seen = Circumstances(
        is_array=subject.is_array,
        exclude_first=options.exclude_first,
        center=options.center,
        n_empty=reader.statistics.n_empty,
        n_zero=int(reader.whole.zeros.max()),
        n_undirected=_undirected(reader),
        n_twins=max(layer.twins for _, layer in read),
        n_groups=reader.statistics.n_groups,
    )
    return notes(read, counts, seen)


def _undirected(reader: Reader) -> int:
    """Return the most texts of a layer that have no mean direction."""
    texts = reader.texts
    return int(texts.texts.sum() - texts.directed_texts.sum(axis=1).min())


def _summary(read: Read, counts: Counts) -> str:
    place, layer = read[-1]
    wanted = (("mean_cosine", "mean cosine"), ("isoscore_corrected", "corrected IsoScore"))
    words = [
        f"{label} {_told(layer.metrics[name])}"
        for name, label in wanted
        if layer.metrics[name].number is not None
    ]
    what = "; ".join(words) or "no metric is defined"
    return f"At {place.site}: {what} ({counts.n_tokens} tokens of {counts.n_texts} texts)."


def _told(reading: Reading) -> str:
    bounds = reading.interval
    interval = f" [{bounds.low:.3g}, {bounds.high:.3g}]" if bounds else ""
    control = "" if reading.control is None else f", isotropic {reading.control.value:.3g}"
    return f"{reading.number:.3g}{interval}{control}"
