"""Planning and graph tasks: known answers, dials, strict verifiers, nothing of the public tests."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from workbench.errors import DataError, TooLittleData
from workbench.sampling.blocks import after, is_state, moves, parse_state, shortest_plan, simulate
from workbench.sampling.sentences import chain_sentences
from workbench.sampling.task import open_task
from workbench.sampling.tasks.blocksworld import _digest, _public_states, states_of

PUBLIC_PEOPLE = {
    *("Bob", "Polly", "Gabriel", "Tom", "Stella", "Sam", "Jack", "Wren", "Max"),
    *("Oliver", "Sally", "Carol", "Fae", "Alex", "Eva", "Rex", "Davis"),
}


def _draw(address: str, n: int = 30, seed: int = 0):
    return open_task(address), open_task(address).problems(n, np.random.default_rng(seed))


def _all_states(n: int) -> set[tuple[int, ...]]:
    return {s for s in product(range(-1, n), repeat=n) if is_state(s)}


@pytest.mark.parametrize(("n", "count"), [(1, 1), (2, 3), (3, 13), (4, 73), (5, 501)])
def test_there_are_as_many_states_as_sets_of_lists(n: int, count: int) -> None:
    """OEIS A000262."""
    assert len(_all_states(n)) == count


def test_plans_are_shortest() -> None:
    """Every distance in the world of three blocks, against breadth-first search."""
    for start in _all_states(3):
        distance, frontier = {start: 0}, [start]
        while frontier:
            reached = {after(s, m): distance[s] + 1 for s in frontier for m in moves(s)}
            frontier = [s for s in reached if s not in distance]
            distance |= {s: reached[s] for s in frontier}
        assert len(distance) == 13
        for goal, wanted in distance.items():
            assert len(shortest_plan(start, goal)) == wanted


@pytest.mark.parametrize("address", ["blocksworld?blocks=3", "blocksworld?blocks=7&brief=yes"])
def test_written_plans_work_and_a_broken_one_does_not(address: str) -> None:
    task, problems = _draw(address + "&verify=plan" if "?" in address else address, 12)
    for problem in problems:
        assert task.is_correct(problem, "\n".join(problem.steps))
        assert not task.is_correct(problem, "\n".join(problem.steps[1:]))
        start, goal = states_of(problem.question)
        assert simulate(start, problem.steps) == goal
        assert simulate(start, ["Move A from A to A"]) is None
        assert problem.fields["group"]


def test_the_answer_is_a_number_and_dials_turn() -> None:
    task, problems = _draw("blocksworld?blocks=5&least=6")
    assert min(int(p.answer) for p in problems) >= 6
    assert task.is_correct(problems[0], f"... The answer is: {problems[0].answer}")
    assert not task.is_correct(problems[0], "The answer is: 99")
    with pytest.raises(TooLittleData):
        _draw("blocksworld?blocks=2&least=9")
    with pytest.raises(DataError):
        parse_state("A is on B, B is on A")


@pytest.mark.parametrize("address", ["blocksworld?blocks=4", "prosqa?hops=2"])
def test_parts_share_no_problem_and_make_up_the_whole(address: str) -> None:
    parts = {
        part: {p.question for p in _draw(f"{address}&part={part}", 60, seed)[1]}
        for seed, part in enumerate(("train", "valid", "test"))
    }
    assert not parts["train"] & parts["test"]
    assert not parts["train"] & parts["valid"]
    assert not parts["valid"] & parts["test"]


def test_public_states_are_never_drawn() -> None:
    """Drawn seven-block problems hold none of the states of the public files."""
    public = _public_states()
    assert len(public) == 40
    known = "A is on the table, B is on A, C is on G, D is on F, E is on B, F is on the table"
    known += ", G is on E"
    assert _digest(known) in public
    _, problems = _draw("blocksworld?blocks=7", 50)
    for problem in problems:
        for text in (problem.question.split("Initial state: ")[1].split(".")[0],):
            assert _digest(text) not in public
        assert _digest(problem.question.split("Goal state: ")[1].rstrip(".")) not in public


@pytest.mark.parametrize("hops", [2, 4, 12])
def test_graph_questions_have_one_right_answer_in_that_many_hops(hops: int) -> None:
    parents, classes = (1, 38) if hops > 8 else (2, 20)
    task, problems = _draw(f"prosqa?hops={hops}&classes={classes}&parents={parents}", 20)
    for problem in problems:
        right = [c for c in task.choices(problem) if task.is_correct(problem, f"### {c}")]
        assert right == [problem.answer]
        assert len(problem.steps) == hops
        assert all(step in problem.question for step in problem.steps)
        assert not PUBLIC_PEOPLE & set(problem.question.replace(".", "").split())
        said = "\n".join(chain_sentences(task, problem))
        assert task.is_correct(problem, said)
        assert not task.is_correct(problem, "### Nobody is a wumpus.")
        assert not task.is_correct(problem, "")


def test_files_are_read(tmp_path: Path) -> None:
    row = {"question": "Where is ice?\tA: pole\tB: oven", "steps": ["Ice is cold.", "### A"]}
    path = tmp_path / "csqa.json"
    path.write_text(json.dumps([{**row, "answer": "A"}, {"question": "no answer"}]))
    task = open_task(f"csqa:{path}")
    (problem,) = task.problems(5, np.random.default_rng(0))
    assert chain_sentences(task, problem) == ("Ice is cold.", "### A")
    assert task.choices(problem) == ("A", "B")
    assert task.is_correct(problem, "A pole it is.\n### A")
    assert not task.is_correct(problem, "A pole it is.\n### B")
    with pytest.raises(DataError, match="needs a file"):
        open_task("csqa").problems(1, np.random.default_rng(0))
    path.write_text("[]")
    with pytest.raises(DataError, match="no row"):
        task.problems(1, np.random.default_rng(0))
