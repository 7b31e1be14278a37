"""One algorithm over one matrix or many: links with how often they come back in resamples."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from causal.searches.conventions import Link
from workbench.worker import TookTooLong, Worker, WorkerFailed

Scope = Literal["pooled", "centred", "domain"]
WORKER = Worker("causal.searches.algorithms:run")
LATENT_ALGORITHMS = ("gin", "rlcd")


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """The scores an algorithm is shown, with the domain of every row."""

    scope: Scope
    group: str
    data: Float[np.ndarray, "n n_var"]
    domain: Int[np.ndarray, " n"]


@dataclass(frozen=True, kw_only=True)
class Search:
    """One algorithm with its settings; `seconds` bounds one fit."""

    algorithm: str
    names: tuple[str, ...]
    alpha: float = 0.01
    resamples: int = 50
    seconds: float = 60.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Links with their stability (share of resamples), or the reason why there are none."""

    algorithm: str
    scope: Scope
    group: str
    n: int
    links: tuple[Link, ...] = ()
    stability: dict[tuple[str, str, str], float] = field(default_factory=dict)
    resamples: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    failure: str = ""


def split(scores: Float[np.ndarray, "n n_var"], domains: Sequence[str], scope: Scope) -> list[Rows]:
    """Return the matrices of a scope: all rows, rows less their domain's mean, or each domain."""
    names, codes = np.unique(np.asarray(domains), return_inverse=True)
    if scope == "pooled":
        return [Rows(scope=scope, group="", data=scores, domain=codes)]
    if scope == "centred":
        means = np.stack([scores[codes == i].mean(axis=0) for i in range(len(names))])
        return [Rows(scope=scope, group="", data=scores - means[codes], domain=codes)]
    return [
        Rows(scope=scope, group=str(name), data=scores[codes == i], domain=codes[codes == i])
        for i, name in enumerate(names)
    ]


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
    reason = unsuitable(search, rows)
    if reason:
        return Fitted(**common, failure=reason)
    try:
        found = _call(search, rows.data, rows.domain, independence=True)
    except (TookTooLong, WorkerFailed) as error:
        return Fitted(**common, failure=str(error))
    links = tuple(Link(*link) for link in found["links"])
    counts, done = _resample(search, rows, generator, tick)
    return Fitted(
        **common,
        links=links,
        stability={key: count / done for key, count in counts.items()} if done else {},
        resamples=done,
        facts=found["facts"],
    )


def unsuitable(search: Search, rows: Rows) -> str:
    """Return why these rows cannot be searched, empty if they can."""
    n, n_var = rows.data.shape
    if n_var < 2:
        return f"{n_var} column; at least two are needed"
    if n <= n_var + 2:
        return f"{n} rows for {n_var} columns; more rows than columns are needed"
    constant = [search.names[i] for i in np.flatnonzero(rows.data.std(axis=0) < 1e-12)]
    if constant:
        return f"constant columns: {', '.join(constant)}"
    correlation = np.corrcoef(rows.data, rowvar=False)
    twins = np.argwhere(np.triu(np.abs(correlation) > 1 - 1e-9, k=1))
    if len(twins):
        pairs = ", ".join(f"{search.names[i]} and {search.names[j]}" for i, j in twins)
        return f"columns that repeat each other: {pairs}"
    if search.algorithm == "cd-nod" and len(np.unique(rows.domain)) < 2:
        return "one domain; CD-NOD compares domains"
    return ""


def _call(
    search: Search,
    data: Float[np.ndarray, "n n_var"],
    domain: Int[np.ndarray, " n"],
    *,
    independence: bool = False,
) -> dict[str, Any]:
    request = {
        "algorithm": search.algorithm,
        "data": data,
        "names": list(search.names),
        "alpha": search.alpha,
        "seed": search.seed,
        "domain": domain,
        "independence": independence,
    }
    answer: dict[str, Any] = WORKER.call(request, seconds=search.seconds)
    return answer


def _resample(
    search: Search, rows: Rows, generator: np.random.Generator, tick: Callable[[], None]
) -> tuple[Counter[tuple[str, str, str]], int]:
    """Count links over resamples; latents have no lasting names, so their graphs are not."""
    counts: Counter[tuple[str, str, str]] = Counter()
    done = 0
    if search.algorithm in LATENT_ALGORITHMS:
        return counts, done
    for _ in range(search.resamples):
        index = _stratified(rows.domain, generator)
        try:
            found = _call(search, rows.data[index], rows.domain[index])
        except (TookTooLong, WorkerFailed):
            break
        counts.update({Link(*link)[:3] for link in found["links"]})
        done += 1
        tick()
    return counts, done


def _stratified(
    domain: Int[np.ndarray, " n"], generator: np.random.Generator
) -> Int[np.ndarray, " n"]:
    parts = [np.flatnonzero(domain == code) for code in np.unique(domain)]
    return np.concatenate([generator.choice(part, size=len(part)) for part in parts])
