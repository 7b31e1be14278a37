"""Which rows of a leaderboard count: duplicates, merges, mixtures, flags, evidence."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from causal.scores.domains import BASE_REPOSITORIES, EVIDENCE
from causal.scores.leaderboard import ScoreTable
from workbench.errors import BadOption
from workbench.result.result import Note

Mask = "np.ndarray[tuple[int], np.dtype[np.bool_]]"


@dataclass(frozen=True, kw_only=True)
class RowFilter:
    """What is left out before fitting; the default keeps everything, as published.

    A duplicate repeats the name of an earlier row, or all its scores. A row is worse than its
    base when its mean score is below that of the base model's own row. `weakest` is the weakest
    evidence for a base model that still counts.
    """

    duplicates: bool = False
    merges: bool = False
    mixtures: bool = False
    flagged: bool = False
    worse_than_base: bool = False
    weakest: str = "architecture"
    dropped_types: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Refuse an evidence stage that does not exist."""
        if self.weakest not in EVIDENCE[:-1]:
            raise BadOption(
                f"weakest evidence {self.weakest!r}; expected one of {', '.join(EVIDENCE[:-1])}"
            )

    def apply(self, table: ScoreTable) -> ScoreTable:
        """Return the rows that count, with a note for every rule that dropped some."""
        rules: list[tuple[bool, str, Callable[[ScoreTable], pd.Series]]] = [
            (self.duplicates, "duplicate submissions", _is_duplicate),
            (self.merges, "merges", lambda t: _fact(t, "merged")),
            (self.mixtures, "mixtures of experts", lambda t: _fact(t, "moe")),
            (self.flagged, "flagged models", lambda t: _fact(t, "flagged")),
            (self.worse_than_base, "models worse than their base", _is_worse),
            (bool(self.dropped_types), "models of unwanted type", self._is_unwanted),
            (self.weakest != "architecture", f"labels weaker than {self.weakest}", self._is_weak),
        ]
        for wanted, what, rule in rules:
            if wanted:
                drop = rule(table).to_numpy(dtype=bool)
                note = Note(f"{int(drop.sum())} {what} left out", code="filtered")
                if lacking := self._lacking(what, table):
                    text = f"no {what} left out: the table does not say {lacking}"
                    note = Note(text, "warning", "filtered")
                table = table.keep(~drop, note)
        return table

    @staticmethod
    def _lacking(what: str, table: ScoreTable) -> str:
        needed = {"merges": "merged", "mixtures of experts": "moe", "flagged models": "flagged"}
        fact = needed.get(what, "model")
        return "" if fact in table.facts else f"which models are {what}"

    def _is_weak(self, table: ScoreTable) -> "pd.Series[bool]":
        allowed = EVIDENCE[: EVIDENCE.index(self.weakest) + 1]
        if not table.has_domains:
            return pd.Series(False, index=table.facts.index)
        return ~table.facts["evidence"].isin(allowed)

    def _is_unwanted(self, table: ScoreTable) -> "pd.Series[bool]":
        kinds = _column(table, "type").str.lower()
        return kinds.map(lambda kind: any(word in kind for word in self.dropped_types))


def _column(table: ScoreTable, fact: str) -> "pd.Series[str]":
    if fact in table.facts:
        return table.facts[fact]
    return pd.Series("", index=table.facts.index)


def _fact(table: ScoreTable, fact: str) -> "pd.Series[bool]":
    if fact in table.facts:
        return table.facts[fact].astype(bool)
    return pd.Series(False, index=table.facts.index)


def _is_duplicate(table: ScoreTable) -> "pd.Series[bool]":
    names = table.facts["model"].str.lower().duplicated()
    return names | table.numbers.duplicated()


def _is_worse(table: ScoreTable) -> "pd.Series[bool]":
    mean = table.numbers.mean(axis=1)
    names = table.facts["model"].str.lower()
    worse = pd.Series(False, index=table.facts.index)
    for domain, repository in BASE_REPOSITORIES.items():
        base = mean[names == repository]
        if len(base):
            worse |= (table.facts["domain"] == domain) & (mean < base.max())
    return worse
