"""Lists of causes: planted responses have the scores they must, and texts tell their graph."""

import re

import numpy as np
import pytest

from causal.cause_graph import CauseGraph
from probes.cause_graphs import _report, _row, near
from workbench.errors import BadOption
from workbench.sampling.edge_grading import EdgeGrader, graph_scores

TASK = CauseGraph(nodes=6, edges=6, explicit=0.5, idle=2)
PROBLEMS = TASK.problems(30, np.random.default_rng(0))


def _rows(answer):
    draw = np.random.default_rng(1)
    return [_row(p, answer(p), draw) for p in PROBLEMS]


def _turned(problem):
    return "\n".join(f"{b} → {a}" for a, b in EdgeGrader().edges(problem.answer))


def test_a_right_list_and_a_turned_one_and_none():
    found = _report(_rows(lambda p: f"Here they are: {p.answer.lower()}."), 0)
    told = {e.name: e for e in found.estimates}
    assert told["F1 of edges"].value == told["recall of implied edges"].value == 1.0
    assert told["distance"].value == 0.0
    assert told["F1 of edges"].control < 0.5
    for row in _rows(_turned):
        # Where both ways are wanted, a turned edge is a right one.
        assert row["distance"] == len({frozenset(e) for e in _once(row["reference"])})
    none = _rows(lambda p: "I do not know.")
    assert all(row["precision"] is None and row["f1"] == 0.0 for row in none)
    assert _report(none, 0).summary.startswith("No better than names in one sentence")


def _once(text):
    edges = EdgeGrader().edges(text)
    return [e for e in edges if e[::-1] not in edges]


def test_stated_edges_are_the_ones_that_a_reader_of_verbs_finds():
    def said(problem):
        verbs = r"(\w+) (?:causes|acts directly on) (\w+)|(\w+) is a direct effect of (\w+)"
        found = [(a or d, b or c) for a, b, c, d in re.findall(verbs, problem.question)]
        return "; ".join(f"{a} -> {b}" for a, b in found)

    rows = _rows(said)
    assert all(row["stated"] in (1.0, None) and row["implied"] in (0.0, None) for row in rows)
    assert all(row["precision"] in (1.0, None) for row in rows)
    shares = [len(p.fields["stated"]) / 6 for p in PROBLEMS]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("explicit", [0.0, 1.0])
def test_the_dial_says_how_many_edges_are_stated(explicit):
    for problem in CauseGraph(explicit=explicit).problems(5, np.random.default_rng(0)):
        assert len(problem.fields["stated"]) == 6 * explicit
        assert len(EdgeGrader().edges(problem.answer)) == 6


def test_scores_by_hand():
    wanted = frozenset({("a", "b"), ("b", "c"), ("c", "a")})
    found = frozenset({("a", "b"), ("c", "b"), ("d", "a")})
    told = graph_scores(found, wanted, 4)
    assert told == {
        "precision": pytest.approx(1 / 3), "recall": pytest.approx(1 / 3),
        "f1": pytest.approx(1 / 3), "distance": 3.0, "distance_share": 0.25,
    }  # fmt: skip


def test_only_names_of_the_text_count_and_baseline_pairs_stand_in_one_sentence():
    read = EdgeGrader(names=("Rain", "Flood")).edges(
        "1. rain -> Flood\n- rain->mud; flood => Flood"
    )
    assert read == {("Rain", "Flood")}
    text = "The text is about Aa, Bb, Cc. Aa moved Bb. Cc stood still."
    assert near(text, ("Aa", "Bb", "Cc")) == {("Aa", "Bb")}
    with pytest.raises(BadOption, match="pairs"):
        CauseGraph(nodes=3, edges=6, idle=1).problems(1, np.random.default_rng(0))
