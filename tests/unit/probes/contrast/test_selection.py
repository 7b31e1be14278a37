"""The paper's rules on counts worked out by hand."""

import numpy as np

from probes.contrast.selection import Response, negatives, pair, positive, ranked_wrong


def _made(*answers, right="7"):
    return [Response(tokens=(i,), answer=a, correct=a == right) for i, a in enumerate(answers)]


def _draw():
    return np.random.default_rng(0)


def test_a_positive_is_a_correct_response_drawn_at_random():
    some = _made("7", "3", "7", "7")
    seen = {positive(some, np.random.default_rng(seed)).tokens[0] for seed in range(40)}
    assert seen == {0, 2, 3}
    assert positive(_made("3", "4"), _draw()) is None


def test_negatives_cover_half_of_the_wrong_responses():
    some = _made(*["7", "3", "3", "3", "3", "4", "4", "4", "5", "5", "6"])
    assert [r.answer for r in negatives(some, _draw())] == ["3", "4"]
    assert [r.answer for r in negatives(_made(*["3", "3", "3", "4", "4", "5"]), _draw())] == ["3"]


def test_an_answer_given_once_is_taken_only_alone():
    assert [r.answer for r in negatives(_made(*["3", "4", "5", "7"]), _draw())] == ["3"]
    assert [r.answer for r in negatives(_made(*["3", "3", "4", "5", "6", "8"]), _draw())] == ["3"]
    assert negatives(_made("7", "7"), _draw()) == []


def test_responses_without_an_answer_are_no_answer_to_rank():
    some = _made("7", None, None, None, "3")
    assert [r.answer for r in negatives(some, _draw())] == ["3"]
    assert len(ranked_wrong(some)) == 1


def test_a_pair_sets_a_correct_response_against_the_most_frequent_wrong_answer():
    some = _made(*["4", "3", "3", "7", "7"])
    for seed in range(20):
        chosen, rejected = pair(some, np.random.default_rng(seed))
        assert chosen.correct
        assert rejected.answer == "3"
    assert pair(_made("3", "4"), _draw()) is None
    assert pair(_made("7"), _draw()) is None
