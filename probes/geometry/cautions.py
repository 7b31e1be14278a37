"""What must be said of data and options, as far as it changes how to read the numbers."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from probes.geometry.reader import Found, Reader
from probes.geometry.report import some, undefined_notes
from workbench.result.readings import Readings
from workbench.result.result import Note

OUTLIER_NORM = 5


@dataclass(frozen=True, kw_only=True)
class Cautions:
    """The cautions of one set of options."""

    is_array: bool
    exclude_first: bool

    def __call__(self, reader: Reader, readings: Readings, found: Found) -> list[Note]:
        """Return every caution that applies, beside those about few units."""
        return [
            *_few_tokens(reader.n, found.spectrum.shape[1]),
            *self._resampling(reader, readings),
            *self._tokens(),
            *_degenerate(reader, found),
            *_sampling(reader),
            *_outliers(readings, found),
            *undefined_notes(readings),
        ]

    def _resampling(self, reader: Reader, readings: Readings) -> list[Note]:
        found = []
        if readings.unit != "texts":
            found.append(
                Note(
                    "the rows are one text, so Su–Collier values are 1 − mean cosine; intervals "
                    f"resample {readings.n} contiguous blocks of rows, as if these were "
                    "independent",
                    "warning",
                    "one-text",
                )
            )
        elif readings.n == 1:
            found.append(Note("one text: there is nothing to resample, so no intervals", "warning"))
        if reader.statistics.n_groups == 0:
            found.append(
                Note(
                    "covariance metrics have no intervals: groups of texts do not fit memory_mb; "
                    "raise it or choose fewer layers",
                    code="no-groups",
                )
            )
        return found

    def _tokens(self) -> list[Note]:
        if self.is_array:
            return [Note("array rows have no position, so every row counts", code="every-row")]
        if self.exclude_first:
            return []
        return [
            Note(
                "first tokens are included; their norm is enormous in most models and can own "
                "the leading eigenvalue",
                "warning",
                "first-token",
            )
        ]


def _few_tokens(n: int, d: int) -> list[Note]:
    found = []
    if n <= d:
        found.append(
            Note(
                f"{n} tokens in {d} dimensions: the covariance is rank-deficient and no rank can "
                f"exceed {n - 1}",
                "warning",
                "rank-deficient",
            )
        )
    if n < 10 * d:
        found.append(
            Note(
                f"{n} tokens are fewer than ten per dimension ({10 * d}): raw covariance metrics "
                "are biased low; compare with the control and the corrected values",
                "warning",
                "few-tokens",
            )
        )
    return found


def _degenerate(reader: Reader, found: Found) -> list[Note]:
    """Say what had no direction, and what was a copy; the most of any layer."""
    texts = reader.texts
    undirected = texts.texts.sum() - texts.host("directed_texts").sum(axis=1).min()
    told: tuple[tuple[float, str, Literal["info", "warning"], str], ...] = (
        (
            reader.whole.host("zeros").max(),
            "up to {} vectors of a layer are zero; they have no direction and are in no cosine",
            "warning",
            "zero-vectors",
        ),
        (
            undirected,
            "up to {} texts of a layer have a mean vector of zero; their intra-sentence "
            "similarity is undefined and left out of the average",
            "warning",
            "zero-mean",
        ),
        (
            found.sampled["twins"].max(),
            "two-NN keeps one of each set of equal vectors: up to {} of "
            f"{len(reader.origins)} sampled tokens of a layer are dropped as copies",
            "info",
            "twins",
        ),
    )
    return [Note(words.format(int(n)), level, code) for n, words, level, code in told if n]


def _sampling(reader: Reader) -> list[Note]:
    n = len(reader.origins)
    if reader.center:
        words = "cosine and partition metrics are about the mean of all tokens, over the {} sampled"
        return [Note(f"{words.format(n)} tokens", code="centred")]
    if n == reader.n:
        return []
    words = "partition, two-NN, word and removal metrics come from a uniform sample of"
    return [Note(f"{words} {n} of {reader.n} tokens", code="sampled")]


def _outliers(readings: Readings, found: Found) -> list[Note]:
    is_long = (found.max_norm > OUTLIER_NORM * found.mean_norm) & (found.mean_norm > 0)
    places = [readings.sites[i] for i in np.flatnonzero(is_long)]
    if not places:
        return []
    return [
        Note(
            f"at {some(places)} the longest vector is more than {OUTLIER_NORM} times the mean "
            "length; a few such tokens can own the leading eigenvalue there",
            "warning",
            "outliers",
        )
    ]
