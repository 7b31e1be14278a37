"""Which test and score suit a table, and which tables cannot be searched."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from causal.searches.abilities import ABILITIES, DISCRETE_TESTS
from causal.searches.arrangement import constant, discrete, standardised

Floats = Float[np.ndarray, "n n_var"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """The test or score that a search uses, or the reason why none fits."""

    test: str = "fisherz"
    score: str = "bic"
    by_test: bool = False
    by_score: bool = False
    category: Bool[np.ndarray, " n_var"]
    notes: tuple[str, ...] = ()
    failure: str = ""

    def facts(self) -> dict[str, str]:
        """Return the test and the score that were used."""
        used = {"test": self.test} if self.by_test else {}
        return {**used, "score_name": self.score} if self.by_score else used


def categories(
    algorithm: str, data: Floats, named: Bool[np.ndarray, " n_var"], test: str, score: str
) -> Bool[np.ndarray, " n_var"]:
    """Tell which columns a search takes for categories; the others have means to subtract."""
    ability, few = ABILITIES[algorithm], discrete(data) | named
    if ability.tests:
        return few if test in ("auto", "mixed", *DISCRETE_TESTS) else named
    return few if few.all() or score == "bdeu" else named


def choose(
    algorithm: str,
    data: Floats,
    names: Sequence[str],
    test: str,
    score: str,
    named: Sequence[str] = (),
) -> Choice:
    """Choose by the columns: numbers, few whole numbers (categories), or both.

    `auto` takes Fisher's z and BIC for numbers, G² and BDeu for categories, and for both a
    linear test that reads categories as unordered. A score or a noise model reads them as
    numbers, with a note. Columns in `named` are categories however many values they hold.
    """
    ability = ABILITIES[algorithm]
    is_category = discrete(data) | np.isin(names, named)
    few = [n for n, yes in zip(names, is_category, strict=True) if yes]
    many = [n for n, yes in zip(names, is_category, strict=True) if not yes]
    missing = bool(np.isnan(data).any())
    common: dict[str, Any] = {
        "category": np.zeros(len(names), dtype=bool),
        "by_test": bool(ability.tests),
        "by_score": bool(ability.scores),
    }
    if missing and not ability.missing:
        return Choice(**common, failure=f"cells are missing, which {algorithm} cannot use")
    if ability.tests:
        return _choose_test(algorithm, test, common, (few, many), is_category, missing)
    if ability.scores:
        return _choose_score(algorithm, score, common, (few, many))
    if not many:
        return Choice(
            **common,
            failure=f"every column holds categories; {algorithm} needs numbers",
        )
    return Choice(**common, notes=_read_as_numbers(few))


def _choose_test(
    algorithm: str,
    test: str,
    common: dict[str, Any],
    columns: tuple[list[str], list[str]],
    is_category: Bool[np.ndarray, " n_var"],
    missing: bool,
) -> Choice:
    few, many = columns
    if test == "auto":
        test = "mv_fisherz" if missing else "fisherz" if not few else "mixed" if many else "gsq"
    if test not in ABILITIES[algorithm].tests:
        allowed = ", ".join(ABILITIES[algorithm].tests)
        return Choice(**common, failure=f"{algorithm} has no test {test}; it has {allowed}")
    if missing and test != "mv_fisherz":
        return Choice(**common, failure=f"cells are missing, which the test {test} cannot use")
    if test in DISCRETE_TESTS and many:
        return Choice(
            **common, failure=f"{test} compares categories, and these are numbers: {_list(many)}"
        )
    if test == "mixed":
        told = f"read as categories without order: {_list(few)}"
        return Choice(
            **{**common, "category": is_category}, test=test, notes=(told,) if few else ()
        )
    notes = () if test in DISCRETE_TESTS else _read_as_numbers(few)
    return Choice(**common, test=test, notes=notes)


def _choose_score(
    algorithm: str,
    score: str,
    common: dict[str, Any],
    columns: tuple[list[str], list[str]],
) -> Choice:
    few, many = columns
    allowed = ABILITIES[algorithm].scores
    if score == "auto":
        score = "bic" if many or "bdeu" not in allowed else "bdeu"
        if score == "bic" and not many:
            return Choice(
                **common,
                failure=f"every column holds categories, and {algorithm} has no score for them",
            )
    if score not in allowed:
        return Choice(
            **common, failure=f"{algorithm} has no score {score}; it has {', '.join(allowed)}"
        )
    if score == "bdeu" and many:
        return Choice(
            **common, failure=f"bdeu counts categories, and these are numbers: {_list(many)}"
        )
    return Choice(**common, score=score, notes=() if score == "bdeu" else _read_as_numbers(few))


def _read_as_numbers(few: Sequence[str]) -> tuple[str, ...]:
    return (
        (f"few whole numbers, read as amounts and not as categories: {_list(few)}",) if few else ()
    )


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (" …" if len(names) > 8 else "")


def unsuitable(
    algorithm: str, data: Floats, names: Sequence[str], domain: Int[np.ndarray, " n"]
) -> str:
    """Return why these rows cannot be searched, empty if they can."""
    n, n_var = data.shape
    if n_var < 2:
        return f"{n_var} column; at least two are needed"
    if n <= n_var + 2:
        return f"{n} rows for {n_var} columns; more rows than columns are needed"
    still = [names[int(i)] for i in np.flatnonzero(constant(data))]
    if still:
        return f"constant columns: {', '.join(still)}"
    correlation = _correlation(data)
    twins = np.argwhere(np.triu(np.abs(correlation) > 1 - 1e-9, k=1))
    if len(twins):
        pairs = ", ".join(f"{names[i]} and {names[j]}" for i, j in twins)
        return f"columns that repeat each other: {pairs}"
    sizes, directions = np.linalg.eigh(correlation)
    if sizes[0] < 1e-9 and not np.isnan(data).any():
        tied = [names[int(i)] for i in np.flatnonzero(np.abs(directions[:, 0]) > 1e-6)]
        return f"columns of which one is a sum of the others: {', '.join(tied)}"
    if algorithm == "cd-nod" and len(np.unique(domain)) < 2:
        return "one domain; CD-NOD compares domains: --domain-column names the column of theirs"
    return ""


def _correlation(data: Floats) -> Float[np.ndarray, "n_var n_var"]:
    """Return correlations over the rows that hold both columns."""
    z = standardised(data)
    held = np.isfinite(z).astype(np.float64)
    filled = np.nan_to_num(z)
    spread = (filled**2).T @ held
    found: Float[np.ndarray, "n_var n_var"] = (filled.T @ filled) / np.sqrt(
        (spread * spread.T).clip(1e-300)
    )
    return found
