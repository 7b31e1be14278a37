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


def test_steps_with_terms_are_those_of_the_question_and_their_totals():
    _, problems = _draw("chained-sums?largest=9&terms=yes")
    for problem in problems:
        first, *terms = problem.question.removeprefix("Sum ").rstrip(":").split(", ")
        totals = list(accumulate(int(term.replace(" ", "")) for term in (first, *terms)))
        wanted = zip(terms, totals[1:], strict=True)
        assert problem.steps == tuple(f"{term} = {total}" for term, total in wanted)


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


def test_a_search_tries_ways_in_the_order_told_until_one_ends_where_asked():
    problems = _draw("graph-search?least=1&most=3&chain=search&animals=14")[1]
    lengths = set()
    for problem in problems:
        told = problem.question.removeprefix("Ways: ").split(". From ")[0].split(", ")
        written = [step.removeprefix("- ") for step in problem.steps]
        assert set(written) <= set(told)
        tried = [at for at, step in enumerate(written) if step.startswith(_start(problem))]
        assert [told.index(written[at]) for at in tried] == sorted(
            told.index(written[at]) for at in tried
        )
        ends = [written[at - 1].split(" ", 2)[2] for at in (*tried[1:], len(written))]
        assert [end in problem.question.split(": ")[-1] for end in ends].index(True) == len(
            ends
        ) - 1
        assert ends[-1] == problem.answer
        lengths.add(len(tried))
    assert lengths == {1, 2}


def _start(problem):
    return problem.question.split(". From ")[1].split(":")[0]


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


def _linked(problems):
    told = [p.question.removeprefix("Ways: ").split(". From ")[0].split(", ") for p in problems]
    return {frozenset(one.split()) for some in told for one in some}


def test_unseen_links_join_seen_names_that_no_training_joins():
    address = "graph-search?words=1&animals=14&least=1&most=2"
    seen = _linked(_draw(address, 400)[1])
    unseen = _linked(_draw(f"{address}&names=unseen", 100)[1])
    assert not seen & unseen
    assert set().union(*unseen) <= set().union(*seen)


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


def test_asking_for_more_problems_than_a_task_has_ends_soon():
    known, generator, drawn = _draw("chained-sums", 40)[1], np.random.default_rng(0), []

    def draw():
        drawn.append(known[int(generator.integers(len(known)))])
        return drawn[-1]

    assert len(different(draw, 40, "all")) == 40
    drawn.clear()
    with pytest.raises(TooLittleData, match="found 40 different problems; 1000000"):
        different(draw, 10**6, "all")
    assert len(drawn) < 20_000
