"""Pairs of texts and what a generator made of them, as rows to explain and as tables."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from causal.concepts.generated import Asking, Checker, attempts, checker_of
from causal.concepts.rows import groups_of, split_rows, value_of
from workbench.errors import BadRows
from workbench.methods.contracts import Context, Example, Unfitted
from workbench.model.model import Model
from workbench.result.estimate import Estimate
from workbench.result.intervals import proportion_estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Table, columns_from

TABLE = "generated"
COLUMNS = columns_from("""
    number: Number of the source text, from 0.
    try: Number of the attempt at this text, from 0.
    source: Text that was to be rewritten.
    wanted: Value of the concept that was asked for.
    written: What the generator wrote.
    changed (proportion): Edited words, of the longer text.
    refused: Why it makes no pair; empty where it makes one.
""")


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneratedPairs:
    """Rows to fit to and pairs of a source and an accepted text, with every attempt."""

    examples: tuple[Example, ...]
    attempts: tuple[Mapping[str, Any], ...]
    check: Checker
    names: tuple[str, ...]
    n_sources: int

    @property
    def accepted(self) -> int:
        """How many sources have an accepted text."""
        return sum(not one["refused"] for one in self.attempts)

    def estimates(self) -> tuple[Estimate, ...]:
        """Return the share of sources with an accepted text, and how well each check reads."""
        share = proportion_estimate("generated.accepted", self.accepted, self.n_sources)
        readers = zip(self.names, (self.check.concept, *self.check.controls), strict=True)
        return (
            Estimate(**{**vars(share), "n_unit": "texts"}),
            *(reader.accuracy(f"check.{name}") for name, reader in readers),
        )

    def reported(self, result: Result) -> Result:
        """Return a result with the attempts, their shares, and a note that says what truth is."""
        counts = Counter(one["refused"] for one in self.attempts if one["refused"])
        told = ", ".join(f"{n} × {reason}" for reason, n in counts.most_common()) or "none"
        words = (
            f"pairs are generated: {self.accepted} of {self.n_sources} texts, "
            f"{len(self.attempts)} attempts; refused: {told}. The true effect is that of texts "
            "which a model wrote and probes of words checked, not people"
        )
        found = {
            "tables": {**result.tables, TABLE: Table.from_rows(self.attempts, COLUMNS)},
            "estimates": (*result.estimates, *self.estimates()),
            "notes": (Note(words, "warning", "generated"), *result.notes),
        }
        return Result(**{**vars(result), **found})


def generated_pairs(  # noqa: PLR0913 - who writes, of what, how it is asked and checked
    generator: Model,
    examples: Sequence[Example],
    concept: str,
    controls: Sequence[str],
    *,
    asking: Asking,
    n: int,
    context: Context,
) -> GeneratedPairs:
    """Let a model rewrite texts that are not fitted to, and keep the pairs that pass the checks.

    Rows that say what was edited in them are left out: sources are texts as they were found.

    Raises:
        BadRows: the checks cannot be fitted, or there is no text to rewrite.
        Unfitted: no text was accepted; every attempt is in its result.
    """
    is_fit, is_paired = split_rows(examples, groups_of(examples))
    fit = [e for e, keep in zip(examples, is_fit, strict=True) if keep]
    check = checker_of(fit, concept, controls, asking.most_changed)
    values = sorted({value_of(e, concept) for e in fit} - {""})
    found = [
        e for e, keep in zip(examples, is_paired, strict=True)
        if keep and value_of(e, concept) in values and not e.fields.get("edited")
    ]  # fmt: skip
    if not found:
        raise BadRows(f"no text with a value of {concept!r} is left to be rewritten")
    draw = context.stream("texts to rewrite")
    sources = [found[i] for i in np.sort(draw.permutation(len(found))[:n])]
    asked = [(e.text, _other(values, value_of(e, concept), draw)) for e in sources]
    tried = tuple(attempts(generator, asked, concept, asking, check, context))
    rows = _rows(fit, sources, tried, concept)
    pairs = GeneratedPairs(
        examples=tuple(rows),
        attempts=tried,
        check=check,
        names=(concept, *controls),
        n_sources=len(sources),
    )
    if not pairs.accepted:
        message = f"none of {len(tried)} texts that {generator.spec.name} wrote was accepted"
        raise Unfitted(
            message,
            result=pairs.reported(Result(summary=message)),
            hint="a larger --generator, more --tries, or --most-changed",
        )
    return pairs


def _rows(
    fit: Sequence[Example],
    sources: Sequence[Example],
    tried: Sequence[Mapping[str, Any]],
    concept: str,
) -> list[Example]:
    """Return texts to fit to, sources, and accepted texts in the groups of their sources."""
    rows = [_row(e, "fit") for e in fit] + [_row(e, "pairs") for e in sources]
    for one in (one for one in tried if not one["refused"]):
        row = _row(sources[one["number"]], "pairs")
        fields = {**row.fields, concept: one["wanted"], "edited": concept}
        rows.append(Example(text=one["written"], group=row.group, fields=fields))
    return rows


def _other(values: Sequence[str], now: str, draw: np.random.Generator) -> str:
    return str(draw.choice([value for value in values if value != now]))


def _row(example: Example, split: str) -> Example:
    group = example.group or str(example.fields.get("group", "")) or example.text
    return Example(text=example.text, group=group, fields={**example.fields, "split": split})
