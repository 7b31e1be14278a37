"""Chained sums and graph search: solved again from the question alone, and judged strictly."""

from itertools import accumulate, pairwise

import numpy as np
import pytest

from workbench.errors import BadOption, TooLittleData
from workbench.sampling.sentences import chain_sentences
from workbench.sampling.task import Choices, open_task
from workbench.sampling.tasks.marked_line import different


def _draw(address, n=60):
    task = open_task(address)
    return task, task.problems(n, np.random.default_rng(0))


def test_the_answer_of_a_chain_is_its_sum_and_every_total_stays_in_range():
    task, problems = _draw("chained-sums?least=1&most=4&largest=12")
    assert {len(p.steps) for p in problems} == {1, 2, 3, 4}
    for problem in problems:
        said = problem.question.removeprefix("Sum ").rstrip(":").replace(" ", "").split(",")
        totals = list(accumulate(int(term) for term in said))
        assert [f"= {total}" for total in totals[1:]] == list(problem.steps)
        assert all(0 <= total <= 12 for total in totals)
        assert problem.answer == str(totals[-1])
        assert task.is_correct(problem, "\n".join(chain_sentences(task, problem)))
        assert not task.is_correct(problem, f"### {totals[-1] + 1}")
        assert not task.is_correct(problem, problem.answer)


def _ends(question):
    told, asked = question.removeprefix("Ways: ").rstrip("?").split(". From ")
    edges = {}
    for one in told.split(", "):
        words = one.split()
        edges.setdefault(" ".join(words[:2]), []).append(" ".join(words[2:]))
    start, pair = asked.split(": ")
    reached, queue = set(), [start]
    while queue:
        at = queue.pop()
        reached.add(at)
        queue += edges.get(at, [])
    return reached, pair.split(" or ")


def test_exactly_one_of_the_two_places_can_be_reached():
    task, problems = _draw("graph-search?least=1&most=3")
    assert isinstance(task, Choices)
    for problem in problems:
        reached, pair = _ends(problem.question)
        assert [place in reached for place in pair].count(True) == 1
        assert problem.answer in reached
        assert sorted(task.choices(problem)) == sorted(pair)
        assert task.is_correct(problem, f"{problem.steps[0]}\n### {problem.answer}\n")
        wrong = next(place for place in pair if place != problem.answer)
        assert not task.is_correct(problem, f"### {wrong}")


def test_the_right_place_stands_first_half_of_the_time():
    task, problems = _draw("graph-search?least=1&most=2", 400)
    first = np.mean([task.choices(p)[0] == p.answer for p in problems])
    assert abs(first - 0.5) < 0.08


def _names(problems):
    words = [w.strip(",.:?") for p in problems for w in p.question.split()]
    return {f"{a} {b}" for a, b in pairwise(words)}, set(words)


def test_unseen_names_are_made_of_seen_words():
    seen, seen_words = _names(_draw("graph-search", 400)[1])
    _, problems = _draw("graph-search?names=unseen", 100)
    unseen = {place for p in problems for place in _ends(p.question)[1]}
    assert not unseen & seen
    assert {word for name in unseen for word in name.split()} <= seen_words


@pytest.mark.parametrize("address", ["chained-sums", "graph-search"])
def test_parts_share_no_problem(address):
    train = {p.question for p in _draw(f"{address}?part=train", 100)[1]}
    assert not train & {p.question for p in _draw(f"{address}?part=test", 100)[1]}


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(BadOption, match="least 5, most 4"):
        open_task("chained-sums?least=5")
    with pytest.raises(BadOption, match="places"):
        open_task("graph-search?most=10&ways=3")
    one = _draw("chained-sums", 1)[1][0]
    with pytest.raises(TooLittleData, match="found 1 different problems; 2"):
        different(lambda: one, 2, "all")
