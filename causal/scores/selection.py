"""Which domains and columns of a score table are fitted, with a note for all that is left out."""

from collections.abc import Collection

from causal.scores.leaderboard import ScoreTable
from causal.scores.uninformative import find_uninformative
from workbench.errors import TooLittleData
from workbench.result.result import Note

SHOWN = 8


def large_domains(scores: ScoreTable, least: int) -> ScoreTable:
    """Keep the rows of domains with at least `least` models; a table without domains stays whole.

    Raises:
        TooLittleData: there is no such domain.
    """
    if not scores.has_domains:
        return scores
    counts = scores.domain_counts()
    kept = {name for name, n in counts.items() if n >= least}
    if not kept:
        largest = ", ".join(f"{name} ({n})" for name, n in list(counts.items())[:3]) or "none"
        raise TooLittleData(
            f"no domain has {least} models; the largest are {largest}",
            hint="lower --least-models, or take all rows for one domain with --no-domains",
        )
    mask = scores.facts["domain"].isin(kept).to_numpy()
    return scores.keep(mask, *left_out_notes(scores, kept, least))


def left_out_notes(scores: ScoreTable, kept: Collection[str], least: int) -> list[Note]:
    """Say how many rows are left out because their domain is small or not known."""
    counts = scores.domain_counts()
    small = {name: n for name, n in counts.items() if name not in kept}
    notes = []
    if small:
        named = ", ".join(f"{name} ({n})" for name, n in list(small.items())[:SHOWN])
        more = f" and {len(small) - SHOWN} more" if len(small) > SHOWN else ""
        text = (
            f"{sum(small.values())} of {len(scores)} rows left out: their domains have fewer than "
            f"{least} rows: {named}{more}"
        )
        notes.append(Note(text, code="small-domains-left-out"))
    unknown = int((scores.facts["domain"] == "").sum())
    if unknown:
        text = f"{unknown} of {len(scores)} rows left out: their domain is not known"
        notes.append(Note(text, code="no-domain"))
    return notes


def without_uninformative(scores: ScoreTable) -> ScoreTable:
    """Leave out columns that are constant or repeat each other among the rows kept."""
    found = find_uninformative(scores.scores, scores.benchmarks)
    told = {*scores.report.constant, *(second for _, second in scores.report.same_columns)}
    constant = [f"{name!r} is constant" for name in found.constant if name not in told]
    repeated = [f"{b!r} repeats {a!r}" for a, b, _ in found.repeated if b not in told]
    if not constant and not repeated:
        return scores.leave_out(found.names)
    text = f"left out, among the rows kept: {', '.join((*constant, *repeated))}"
    return scores.leave_out(found.names, Note(text, "warning", "constant-column"))
