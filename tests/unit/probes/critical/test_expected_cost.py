"""The time an examination will take is told before it begins."""

from probes.critical.cost import expected_seconds, in_words
from probes.critical.sample import WrongAnswer
from workbench.sampling.task import Problem


def answer(tokens, seconds):
    problem = Problem(id="a", question="a", answer="1")
    ids = tuple(range(tokens))
    return WrongAnswer(
        problem=problem, prompt=(1,), response=ids, text="", wins=1, draws=4, seconds=seconds
    )


def test_time_is_positions_times_draws_times_half_a_response():
    answers = [answer(11, 0.1), answer(6, 0.3), answer(6, None)]
    found = expected_seconds(answers, mode="exhaustive", draws=64, alternatives=False)
    assert found == 20 * 64 * 0.2 / 2
    more = expected_seconds(answers, mode="exhaustive", draws=64, alternatives=True)
    assert more == 26 * 64 * 0.2 / 2
    assert (
        expected_seconds([answer(5, None)], mode="screening", draws=64, alternatives=True) is None
    )


def test_words():
    assert in_words(None) == ""
    assert in_words(12.4) == ", about 12 s"
    assert in_words(600.0) == ", about 10 min"
    assert in_words(7200.0) == ", about 2.0 h"
