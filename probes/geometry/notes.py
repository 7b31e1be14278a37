"""What must be said beside the numbers."""

from collections import defaultdict
from dataclasses import dataclass

from probes.geometry.tables import Counts, Read
from workbench.result.result import Note

OUTLIER_NORM = 5


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What the data and the options were, as far as it changes how to read the numbers."""

    is_array: bool
    exclude_first: bool
    center: bool
    n_empty: int
    n_zero: int
    n_undirected: int
    n_twins: int
    n_groups: int


def notes(read: Read, counts: Counts, seen: Circumstances) -> tuple[Note, ...]:
    """Return every caution that applies."""
    found = _few_tokens(counts) + _resampling(counts, seen) + _tokens(counts, seen)
    if seen.center:
        found.append(
            Note(
                "cosine and partition metrics are about the mean of all tokens, over the "
                f"{counts.n_sampled} sampled tokens",
                code="centred",
            )
        )
    elif counts.n_sampled < counts.n_tokens:
        found.append(
            Note(
                "partition, two-NN, word and removal metrics come from a uniform sample of "
                f"{counts.n_sampled} of {counts.n_tokens} tokens",
                code="sampled",
            )
        )
    return (*found, *_outliers(read), *_undefined(read))


def _few_tokens(counts: Counts) -> list[Note]:
    n, d = counts.n_tokens, counts.d_model
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
    if not counts.is_reliable:
        found.append(
            Note(
                f"{n} tokens are fewer than ten per dimension ({10 * d}): raw covariance metrics "
                "are biased low; compare with the control and the corrected values",
                "warning",
                "few-tokens",
            )
        )
    return found


def _resampling(counts: Counts, seen: Circumstances) -> list[Note]:
    found = []
    if counts.n_texts == 1 and seen.is_array:
        found.append(
            Note(
                "the rows are one text, so Su–Collier values are 1 − mean cosine; intervals "
                f"resample {counts.n_units} contiguous blocks of rows, as if these were "
                "independent",
                "warning",
                "one-text",
            )
        )
    elif counts.n_units == 1:
        found.append(Note("one text: there is nothing to resample, so no intervals", "warning"))
    if seen.n_groups == 0:
        found.append(
            Note(
                "covariance metrics have no intervals: groups of texts do not fit memory_mb; "
                "raise it or choose fewer layers",
                code="no-groups",
            )
        )
    return found


def _tokens(counts: Counts, seen: Circumstances) -> list[Note]:
    found = []
    if seen.is_array:
        found.append(Note("array rows have no position, so every row counts", code="every-row"))
    elif not seen.exclude_first:
        found.append(
            Note(
                "first tokens are included; their norm is enormous in most models and can own "
                "the leading eigenvalue",
                "warning",
                "first-token",
            )
        )
    if seen.n_empty:
        found.append(
            Note(f"{seen.n_empty} texts hold a first token only and are left out", "warning")
        )
    return found + _degenerate(counts, seen)


def _degenerate(counts: Counts, seen: Circumstances) -> list[Note]:
    """Say what had no direction, and what was a copy."""
    found = []
    if seen.n_zero:
        found.append(
            Note(
                f"up to {seen.n_zero} vectors of a layer are zero; they have no direction and "
                "are in no cosine",
                "warning",
                "zero-vectors",
            )
        )
    if seen.n_undirected:
        found.append(
            Note(
                f"up to {seen.n_undirected} texts of a layer have a mean vector of zero; their "
                "intra-sentence similarity is undefined and left out of the average",
                "warning",
                "zero-mean",
            )
        )
    if seen.n_twins:
        found.append(
            Note(
                f"two-NN keeps one of each set of equal vectors: up to {seen.n_twins} of "
                f"{counts.n_sampled} sampled tokens of a layer are dropped as copies",
                code="twins",
            )
        )
    return found


def _outliers(read: Read) -> list[Note]:
    places = [
        place.site for place, layer in read if layer.max_norm > OUTLIER_NORM * layer.mean_norm > 0
    ]
    if not places:
        return []
    return [
        Note(
            f"at {_some(places)} the longest vector is more than {OUTLIER_NORM} times the mean "
            "length; a few such tokens can own the leading eigenvalue there",
            "warning",
            "outliers",
        )
    ]


def _some(places: list[str]) -> str:
    """Name the first places and count the rest."""
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    return ", ".join(places[:3]) + more


def _undefined(read: Read) -> list[Note]:
    where: dict[tuple[str, str], list[str]] = defaultdict(list)
    for place, layer in read:
        for name, reading in layer.metrics.items():
            if reading.reason:
                where[name, reading.reason].append(place.site)
    grouped: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (name, reason), places in where.items():
        grouped[reason, _some(places)].append(name)
    return [
        Note(f"{', '.join(names)} undefined at {shown}: {reason}", "warning", "undefined")
        for (reason, shown), names in grouped.items()
    ]
