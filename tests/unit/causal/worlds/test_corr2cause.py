"""Questions about correlations: words and back, pairs, balance, labels."""

import numpy as np
import pytest

from causal.corr2cause import Corr2Cause
from causal.worlds.correlation_items import read_proof
from causal.worlds.correlation_text import WORDINGS, read_statement
from causal.worlds.relations import RELATIONS
from workbench.errors import BadOption, DataError, TooLittleData


def _read(prompt):
    return read_statement(*prompt.split(" Does it follow that: "))


@pytest.mark.parametrize("wording", ["own", "released"])
def test_every_wording_reads_back_to_the_label(wording):
    for item in Corr2Cause(wording=wording).items(24, np.random.default_rng(1)):
        for text in (item.prompt, *item.variants.values()):
            found = _read(text)
            verdict, proof, of_class = read_proof(found)
            assert found.relation in (item.family, _other(item.family))
            assert (verdict == "entailment") == (item.gold == 0)
            assert of_class == item.graded
            assert proof


def _other(relation):
    return {"parent": "child", "child": "parent", "ancestor": "descendant"}.get(
        relation, "ancestor" if relation == "descendant" else relation
    )


def test_pairs_differ_in_one_edge_and_in_the_answer_and_relations_are_balanced():
    items = Corr2Cause(nodes=5).items(36, np.random.default_rng(0))
    for yes, no in zip(items[::2], items[1::2], strict=True):
        assert (yes.answer, no.answer) == ("Yes", "No")
        one, other = ({tuple(e) for e in item.meta["edges"]} for item in (yes, no))
        assert len({frozenset(e) for e in one ^ other}) == 1
        assert yes.prompt.split("that: ")[1] == no.prompt.split("that: ")[1]
        assert yes.group == no.group
    counts = [sum(i.family == r for i in items) for r in RELATIONS]
    assert counts == [6] * 6


def test_names_do_not_tell_the_direction():
    items = Corr2Cause(relations="parent").items(40, np.random.default_rng(0))
    words = [i.prompt.split("that: ")[1].split() for i in items if i.gold == 0]
    earlier = sum(w[0] < w[-1] for w in words)
    assert 4 <= earlier <= 16


def test_what_cannot_be_is_named():
    with pytest.raises(TooLittleData, match="never entail"):
        Corr2Cause(nodes=2).items(4, np.random.default_rng(0))
    with pytest.raises(BadOption, match="sibling"):
        Corr2Cause(relations="sibling").items(4, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("premise", "hypothesis", "match"),
    [
        ("Nothing.", "A directly causes B.", "expected the number"),
        ("A closed system of 2 variables, A and B. A and C are independent.", "A x B", "C"),
        ("A closed system of 2 variables, A and B. A correlates with B.", "A x B", "forms"),
        (
            "A closed system of 2 variables, A and B. A correlates with B. A is independent of B.",
            "A directly causes B.",
            "correlated and independent",
        ),
    ],
)
def test_what_cannot_be_read_is_named(premise, hypothesis, match):
    with pytest.raises(DataError, match=match):
        read_statement(premise, hypothesis)


def test_independences_of_no_graph_are_refused():
    text = "A closed system of 3 variables, A, B and C. A is independent of B given C."
    found = read_statement(f"{text} A is independent of C.", "A directly causes B.")
    with pytest.raises(DataError, match="exactly"):
        read_proof(found)


def test_no_two_wordings_of_different_relations_are_the_same():
    for wording in WORDINGS:
        assert set(wording) == set(RELATIONS)
        assert len(set(wording.values())) == 6
