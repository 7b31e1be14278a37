"""Eleven algorithms on planted tables: numbers, non-Gaussian numbers, categories, bad tables."""

import re
from dataclasses import replace

import numpy as np
import pytest

from causal.searches import stability
from causal.searches.abilities import ABILITIES
from causal.searches.algorithms import ALGORITHMS, run
from causal.searches.by_tests import DOMAIN
from causal.searches.conventions import Link
from causal.searches.edge_report import summary_of
from causal.searches.fitting import choose, unsuitable
from causal.searches.stability import Fitted, Search, fit, split
from tests.unit.causal.planted_tables import (
    COMPELLED,
    TRUE_PAIRS,
    chain_and_collider,
    discrete_network,
    in_this_process,
)

NAMES = tuple(f"v{i}" for i in range(5))
CLASSES = ("pc", "cd-nod", "ges", "exact-search", "grasp", "boss")
DIRECTED = ("direct-lingam", "ica-lingam")


@pytest.fixture(autouse=True)
def _direct(monkeypatch):
    in_this_process(monkeypatch, stability)


def fitted(algorithm, data, *, names=NAMES, domains=None, **options):
    labels = ["all"] * len(data) if domains is None else domains
    if algorithm == "cd-nod" and domains is None:
        labels = [str(i % 2) for i in range(len(data))]
    (rows,) = split(np.asarray(data, dtype=float), labels, "pooled", names)
    # Orders are left out where time runs short, which a busy machine must not decide.
    unhurried = {"orders": 5, "seconds": 1e9, **options}
    search = Search(algorithm=algorithm, resamples=0, **unhurried)
    return fit(search, rows, generator=np.random.default_rng(0))


def pairs(found):
    return {tuple(sorted(link[:2])) for link in found.links if DOMAIN not in link[:2]}


def arrows(found):
    marks = ("directed",)
    return {link[:2] for link in found.links if link.mark in marks and DOMAIN not in link[:2]}


@pytest.mark.parametrize("noise", ["normal", "laplace"])
@pytest.mark.parametrize("algorithm", [*CLASSES, "fci", "rlcd"])
def test_linear_tables(algorithm, noise):
    found = fitted(algorithm, chain_and_collider(noise))
    assert not found.failure
    assert pairs(found) == TRUE_PAIRS
    if algorithm == "fci":
        # The collider has arrowheads; what is behind a and c may be hidden.
        into = {link[:2] for link in found.links if link.mark in ("possible", "directed")}
        assert into == COMPELLED
    else:
        assert arrows(found) == COMPELLED


@pytest.mark.parametrize("algorithm", DIRECTED)
def test_non_gaussian_noise_directs_every_edge(algorithm):
    found = fitted(algorithm, chain_and_collider("laplace"))
    assert arrows(found) == TRUE_PAIRS
    effects = {link[:2]: link.weight for link in found.links}
    assert effects["v0", "v1"] == pytest.approx(0.9, abs=0.1)
    assert effects["v1", "v3"] == pytest.approx(0.8, abs=0.1)


@pytest.mark.parametrize("algorithm", ["pc", "fci", "cd-nod", "ges", "grasp", "boss"])
def test_tables_of_categories(algorithm):
    found = fitted(algorithm, discrete_network(), orders=3 if algorithm == "boss" else 2)
    assert not found.failure
    expected = "gsq" if ABILITIES[algorithm].tests else "bdeu"
    assert expected in (found.facts.get("test"), found.facts.get("score_name"))
    assert pairs(found) == TRUE_PAIRS
    if algorithm != "fci":
        assert arrows(found) == COMPELLED


@pytest.mark.parametrize("algorithm", ["exact-search", "direct-lingam", "ica-lingam"])
def test_categories_are_refused_where_nothing_fits_them(algorithm):
    found = fitted(algorithm, discrete_network())
    assert "every column holds categories" in found.failure
    assert algorithm in found.failure


def test_gin_keeps_the_children_of_two_latents_apart():
    generator = np.random.default_rng(0)
    first = generator.exponential(size=500)
    second = first + 0.6 * generator.exponential(size=500)
    parts = [np.outer(z, (1.0, 1.2)) for z in (first, second)]
    data = np.hstack(parts) + 0.3 * generator.exponential(size=(500, 4))
    found = run({**GIN, "data": data})
    assert found["facts"]["clusters"]
    assert all(set(c) in ({"a", "b"}, {"c", "d"}) for c in found["facts"]["clusters"])
    assert {link[:2] for link in found["links"]} >= {("latent of a, b", "a")}


GIN = {"algorithm": "gin", "names": ["a", "b", "c", "d"], "alpha": 0.01, "seed": 0}


def test_a_mixed_table_gets_a_test_that_reads_categories_without_order():
    generator = np.random.default_rng(0)
    kind = generator.integers(0, 4, 600)
    x = np.array([0.0, 2.0, 2.0, 0.0])[kind] + generator.normal(size=600)
    data = np.column_stack([kind, x, x + generator.normal(size=600)])
    found = fitted("pc", data, names=("kind", "x", "y"))
    assert found.facts["test"] == "mixed"
    assert "categories without order: kind" in found.notes[0]
    assert pairs(found) == {("kind", "x"), ("x", "y")}
    numbered = fitted("pc", data, names=("kind", "x", "y"), test="fisherz")
    assert pairs(numbered) == {("x", "y")}
    assert "read as amounts" in numbered.notes[0]
    relabelled = np.column_stack([np.array([2, 0, 3, 1])[kind], data[:, 1:]])
    assert pairs(fitted("pc", relabelled, names=("kind", "x", "y"))) == pairs(found)


@pytest.mark.parametrize(
    ("algorithm", "option", "expected"),
    [
        ("pc", {"test": "chisq"}, "compares categories"),
        ("ges", {"score": "bdeu"}, "counts categories"),
        ("fci", {"test": "mv_fisherz"}, "fci has no test mv_fisherz"),
        ("exact-search", {"score": "bdeu"}, "exact-search has no score bdeu"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(algorithm, option, expected):
    assert expected in fitted(algorithm, chain_and_collider("normal"), **option).failure


BAD = {
    "fewer rows than columns": (np.random.default_rng(0).normal(size=(4, 5)), "more rows"),
    "one row": (np.ones((1, 5)), "more rows|constant|at least two"),
    "one column": (np.random.default_rng(0).normal(size=(50, 1)), "at least two"),
    "a sum": (None, "one is a sum of the others: v0, v1, v2"),
    "a repeated column": (None, "repeat each other: v0 and v1"),
    "a column turned over": (None, "repeat each other: v0 and v1"),
}


def bad_table(kind):
    data, expected = BAD[kind]
    if data is None:
        data = np.random.default_rng(0).normal(size=(60, 3))
        if kind == "a sum":
            data[:, 2] = data[:, 0] - 2 * data[:, 1]
        else:
            data[:, 1] = (1.0 if kind == "a repeated column" else -2.0) * data[:, 0] + 5
    return data, expected


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("kind", BAD)
def test_bad_tables_say_what_is_wrong(algorithm, kind):

    data, expected = bad_table(kind)
    failure = fitted(algorithm, data, names=NAMES[: data.shape[1]]).failure
    assert re.search(expected, _in_order(failure)), failure


def _in_order(failure):
    words, _, names = failure.rpartition(": ")
    joint = " and " if " and " in names else ", "
    return f"{words}: {joint.join(sorted(names.split(joint)))}"


@pytest.mark.parametrize("algorithm", ["pc", "ges", "direct-lingam"])
def test_two_columns_and_a_constant_one(algorithm):
    data = np.random.default_rng(0).exponential(size=(100, 3))
    data[:, 1] += data[:, 0]
    data[:, 2] = 7.0
    found = fitted(algorithm, data, names=NAMES[:3])
    assert pairs(found) == {("v0", "v1")}
    assert found.notes == ("constant, left out: v2",)


@pytest.mark.parametrize("scale", [1e-200, 1e-13, 1e13, 1e200])
def test_no_scale_is_constant_or_too_large(scale):
    data = chain_and_collider("laplace", n=200)
    data[:, 1] *= scale
    assert unsuitable("pc", data, NAMES, np.zeros(200, dtype=int)) == ""
    assert pairs(fitted("pc", data)) == pairs(fitted("pc", chain_and_collider("laplace", n=200)))


def test_alpha_decides_what_pc_keeps():
    weak = np.random.default_rng(4).normal(size=(200, 3))
    weak[:, 1] += 0.16 * weak[:, 0]
    p = np.array([_p(weak, i, j) for i, j in ((0, 1), (0, 2), (1, 2))]).min()
    assert 0.001 < p < 0.2
    for algorithm in ("pc", "fci"):
        strict, loose = (
            fitted(algorithm, weak, names=NAMES[:3], alpha=level)
            for level in (float(p) * 0.9, float(p) * 1.1)
        )
        assert (len(strict.links), len(loose.links)) == (0, 1)


def _p(data, i, j):
    from scipy import stats

    r = np.corrcoef(data[:, i], data[:, j])[0, 1]
    return 2 * stats.norm.sf(np.sqrt(len(data) - 3) * abs(np.arctanh(r)))


def test_stability_is_over_the_resamples_that_were_done():
    data = np.random.default_rng(0).normal(size=(60, 3))
    data[:, 1] += 5 * data[:, 0]
    data[:, 2] = 0.0
    data[0, 2] = 1.5
    (rows,) = split(data, ["all"] * 60, "pooled", NAMES[:3])
    search = Search(algorithm="pc", resamples=20, orders=1)
    found = fit(search, rows, generator=np.random.default_rng(0))
    # The only other value of the third column is missing from about 36 % of resamples.
    assert found.resamples + found.lost == 20
    assert found.lost >= 3
    assert found.stability["v0", "v1", "undirected"] == 1.0


def test_missing_cells():
    data = chain_and_collider("normal", n=1000)
    generator = np.random.default_rng(1)
    # Whether v1 is missing depends on v0, which is never missing.
    data[(data[:, 0] > 0.5) & (generator.random(1000) < 0.6), 1] = np.nan
    found = fitted("pc", data)
    assert found.facts["test"] == "mv_fisherz"
    assert pairs(found) == TRUE_PAIRS
    assert "cells are missing" in fitted("ges", data).failure
    assert "cells are missing" in fitted("pc", data, test="fisherz").failure


def test_choices_are_those_that_fit():
    numbers, few = chain_and_collider("normal"), discrete_network()
    assert choose("pc", numbers, NAMES, "auto", "auto").test == "fisherz"
    assert choose("pc", few, NAMES, "auto", "auto").test == "gsq"
    assert choose("boss", few, NAMES, "auto", "auto").score == "bdeu"


def test_the_summary_names_the_edges_that_resamples_agree_on():
    links = tuple(Link(*pair, "directed") for pair in (("a", "b"), ("b", "c"), ("c", "d")))
    plain = Fitted(algorithm="pc", scope="pooled", group="", n=9, links=links)
    some = {links[1][:3]: 0.95, links[0][:3]: 0.5}
    told = summary_of([replace(plain, stability=some, resamples=20)])
    assert told.startswith("Resamples agree on b → c: 3 directed edges in 1 fit, 1 of them")
    told = summary_of([replace(plain, resamples=20)])
    assert told.startswith("No direction holds in 90 % of resamples: 3 directed edges")
    assert summary_of([plain]).startswith("3 directed edges in 1 fit; 0 without")
