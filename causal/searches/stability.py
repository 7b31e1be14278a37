"""One algorithm over one matrix or many: links with how often they come back in resamples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from causal.searches.arrangement import (
    column_order,
    constant,
    domain_codes,
    row_order,
    standardised,
)
from causal.searches.conventions import Link
from causal.searches.fitting import Choice, choose, unsuitable
from causal.searches.knowledge import Knowledge
from causal.searches.resamples import Resamples, fewer_orders
from workbench.worker import TookTooLong, Worker, WorkerFailed

Scope = Literal["pooled", "centred", "domain"]
WORKER = Worker("causal.searches.algorithms:run")
LATENT_ALGORITHMS = ("gin", "rlcd")


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """The scores an algorithm is shown, with the domain of every row."""

    scope: Scope
    group: str
    names: tuple[str, ...]
    data: Float[np.ndarray, "n n_var"]
    domain: Int[np.ndarray, " n"]

    def take(self, index: Int[np.ndarray, " m"]) -> "Rows":
        """Return the rows of an index."""
        return replace(self, data=self.data[index], domain=self.domain[index])

    def without_constant(self) -> tuple["Rows", tuple[str, ...]]:
        """Return the columns that vary, and the names of the others."""
        still = constant(self.data)
        names = np.array(self.names, dtype=object)
        kept = replace(self, names=tuple(names[~still]), data=self.data[:, ~still])
        return kept, tuple(names[still])


@dataclass(frozen=True, kw_only=True)
class Search:
    """One algorithm with its settings; `seconds` bounds one fit."""

    algorithm: str
    alpha: float = 0.01
    resamples: int = 50
    seconds: float = 60.0
    seed: int = 0
    test: str = "auto"
    score: str = "auto"
    orders: int = 1
    categories: tuple[str, ...] = ()
    knowledge: Knowledge = field(default_factory=Knowledge)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Links with their stability (share of resamples), or the reason why there are none.

    `resamples` counts those that could be fitted; `notes` say what was done to the columns and
    what the time limit stopped.
    """

    algorithm: str
    scope: Scope
    group: str
    n: int
    links: tuple[Link, ...] = ()
    stability: dict[tuple[str, str, str], float] = field(default_factory=dict)
    resamples: int = 0
    lost: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    failure: str = ""


def split(
    scores: Float[np.ndarray, "n n_var"],
    domains: Sequence[str],
    scope: Scope,
    names: Sequence[str],
    categories: Bool[np.ndarray, " n_var"] | None = None,
) -> list[Rows]:
    """Return the matrices of a scope: all rows, rows less their domain's mean, or each domain.

    Rows and columns are brought into an order that follows from what is in them. Categories
    have no mean and stay as they are.
    """
    labels = np.asarray(domains)
    if scope == "domain":
        each = np.unique(labels)
        return [_arranged(scores[labels == d], labels[labels == d], scope, names) for d in each]
    if scope == "centred":
        means = {d: _means(scores[labels == d]) for d in np.unique(labels)}
        shift = np.array([means[d] for d in labels])
        scores = scores - (shift if categories is None else np.where(categories, 0.0, shift))
    return [_arranged(scores, labels, scope, names)]


def _means(block: Float[np.ndarray, "n n_var"]) -> Float[np.ndarray, " n_var"]:
    held = np.isfinite(block)
    total = np.where(held, block, 0.0).sum(axis=0)
    found: Float[np.ndarray, " n_var"] = total / held.sum(axis=0).clip(1)
    return found


def _arranged(
    scores: Float[np.ndarray, "n n_var"],
    labels: np.ndarray,
    scope: Scope,
    names: Sequence[str],
) -> Rows:
    columns = column_order(scores)
    rows = row_order(standardised(scores[:, columns]))
    return Rows(
        scope=scope,
        group=str(labels[0]) if scope == "domain" else "",
        names=tuple(names[i] for i in columns),
        data=scores[rows][:, columns],
        domain=domain_codes(labels[rows]),
    )


def fit(
    search: Search,
    rows: Rows,
    *,
    generator: np.random.Generator,
    tick: Callable[[], None] = lambda: None,
) -> Fitted:
    """Run an algorithm once and on stratified resamples; a failure is a reason, never an error."""
    common: dict[str, Any] = {
        "algorithm": search.algorithm,
        "scope": rows.scope,
        "group": rows.group,
        "n": len(rows.data),
    }
    rows, still = rows.without_constant()
    told = (f"constant, left out: {', '.join(still)}",) if still else ()
    common["notes"] = told
    reason = search.knowledge.without(still) or unsuitable(
        search.algorithm, rows.data, rows.names, rows.domain
    )
    choice = _choice(search, rows)
    if reason or choice.failure:
        return Fitted(**common, failure=reason or choice.failure)
    try:
        found = _call(search, rows, choice, independence=True, orders=_orders(search, choice))
    except (TookTooLong, WorkerFailed) as error:
        return Fitted(**common, failure=str(error))
    links = tuple(Link(*link) for link in found["links"])
    wrong = search.knowledge.broken_by(links)
    if wrong:
        return Fitted(**common, failure=f"the graph goes against what is known: {'; '.join(wrong)}")
    again = _resample(search, rows, choice, generator, tick)
    stopped = (*fewer_orders(found["facts"], search.seconds), *again.stopped(search.seconds))
    return Fitted(
        **{**common, "notes": (*told, *choice.notes, *stopped)},
        links=links,
        stability=again.shares(),
        resamples=again.done,
        lost=again.lost,
        facts={**found["facts"], **choice.facts()},
    )


def _choice(search: Search, rows: Rows) -> Choice:
    named = search.categories
    return choose(search.algorithm, rows.data, rows.names, search.test, search.score, named)


def _orders(search: Search, choice: Choice) -> int:
    # A second order shows whether it matters; slow methods get no more.
    slow = search.algorithm in LATENT_ALGORITHMS or choice.test == "kci"
    return min(search.orders, 2) if slow else search.orders


def _call(  # noqa: PLR0913 - what differs between a fit and a resample
    search: Search,
    rows: Rows,
    choice: Choice,
    *,
    orders: int,
    independence: bool = False,
    shuffle: bool = False,
    seed: int | None = None,
) -> dict[str, Any]:
    request = {
        "algorithm": search.algorithm,
        "data": rows.data,
        "names": list(rows.names),
        "alpha": search.alpha,
        "seed": search.seed if seed is None else seed,
        "domain": rows.domain,
        "independence": independence,
        "test": choice.test,
        "score": choice.score,
        "category": choice.category,
        "knowledge": search.knowledge,
        "orders": orders,
        "shuffle": shuffle,
        "seconds": search.seconds,
    }
    answer: dict[str, Any] = WORKER.call(request, seconds=search.seconds)
    return answer


def _resample(
    search: Search,
    rows: Rows,
    choice: Choice,
    generator: np.random.Generator,
    tick: Callable[[], None],
) -> Resamples:
    """Count links over resamples, each under a random order of the columns.

    A search that keeps the best of several orders does so here too. A resample that cannot be
    fitted is not counted; after one that took too long there are no more.
    """
    again = Resamples()
    if search.algorithm in LATENT_ALGORITHMS:
        return again
    orders = search.orders if choice.score in ("bic", "bdeu") and choice.by_score else 1
    for i in range(search.resamples):
        drawn = rows.take(_stratified(rows.domain, generator))
        seed = int(generator.integers(2**31))
        tick()
        if unsuitable(search.algorithm, drawn.data, drawn.names, drawn.domain):
            again.lost += 1
            continue
        try:
            again.add(_call(search, drawn, choice, orders=orders, shuffle=True, seed=seed))
        except TookTooLong:
            again.lost += 1
            again.untried = search.resamples - i - 1
            break
        except WorkerFailed:
            again.lost += 1
    return again


def _stratified(
    domain: Int[np.ndarray, " n"], generator: np.random.Generator
) -> Int[np.ndarray, " n"]:
    parts = [np.flatnonzero(domain == code) for code in np.unique(domain)]
    return np.concatenate([generator.choice(part, size=len(part)) for part in parts])
