"""Planted tables for the search algorithms, and the algorithms without a process of their own."""

import numpy as np
import pandas as pd

from causal.planted.simulate import Design, plant
from causal.searches.algorithms import run
from workbench.result.tables import Table

# A hierarchical fit in a second.
QUICK = {"resamples": 10, "null_draws": 5, "order_draws": 5, "restarts": 3, "variants": False}


def hierarchy_table(design: Design, seed: int = 0) -> Table:
    """Return the rows of planted domains that share a hierarchy of capabilities."""
    rows = plant(design, np.random.default_rng(seed)).rows
    domains = np.repeat(rows.names, rows.counts)
    return table_of(rows.pooled, domains, list(rows.benchmarks))


def in_this_process(monkeypatch, stability):
    """Call the algorithms directly: a process for each test file costs seconds."""
    monkeypatch.setattr(stability.WORKER, "call", lambda request, *, seconds: run(request))


def table_of(data, domains=None, names=None):
    """Return a table of rows with a name and a domain each."""
    names = names or [f"v{i}" for i in range(np.shape(data)[1])]
    frame = pd.DataFrame(np.asarray(data), columns=list(names))
    frame.insert(0, "model", [f"m{i}" for i in range(len(frame))])
    frame.insert(1, "domain", ["all"] * len(frame) if domains is None else list(domains))
    return Table(frame)


def chain_and_collider(noise, seed=0, n=500):
    """a → b → d ← c, d → e, with the noise of a numpy generator's method."""
    draw = getattr(np.random.default_rng(seed), noise)
    a, eb, c, ed, ee = draw(size=(5, n))
    b = 0.9 * a + eb
    d = 0.8 * b + 0.9 * c + ed
    return np.column_stack([a, b, c, d, 0.9 * d + ee])


TRUE_PAIRS = {("v0", "v1"), ("v1", "v3"), ("v2", "v3"), ("v3", "v4")}
COMPELLED = {("v1", "v3"), ("v2", "v3"), ("v3", "v4")}


def discrete_network(seed=0, n=500):
    """Return the same graph over three-valued variables."""
    generator = np.random.default_rng(seed)

    def noisy(value):
        flip = generator.random(n) < 0.15
        return np.where(flip, generator.integers(0, 3, n), value)

    a, c = generator.integers(0, 3, (2, n))
    b = noisy(a)
    d = noisy(np.clip(b + c - 1, 0, 2))
    return np.column_stack([a, b, c, d, noisy(d)]).astype(float)
