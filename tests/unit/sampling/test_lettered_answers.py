"""Letters, statements and plans: one answer, said plainly, or none."""

import numpy as np
import pytest

from workbench.errors import DataError
from workbench.sampling.evaluation import judge
from workbench.sampling.grading import ChoiceGrader
from workbench.sampling.task import Problem, open_task

LETTERS = [
    ("### D\n### C", "D", "hash"),
    ("#### D", "D", "hash"),
    ("A pole it is.\n### B", "B", "hash"),
    ("### Answer: B", "B", "hash"),
    ("### Step 1: A dog\nThe answer is C", "C", "answer-is"),
    ("The answer is (B).", "B", "answer-is"),
    ("The answer is **C**.", "C", "answer-is"),
    ("the answer is b", "B", "answer-is"),
    ("the answer is a)", "A", "answer-is"),
    ("The answer is a dog", None, "answer-is"),
    ("The answer is A dog", None, "answer-is"),
    ("The answer is A because ice is cold", "A", "answer-is"),
    ("The answer is A, a pole", "A", "answer-is"),
    ("The answer is D because ice is cold", "D", "answer-is"),
    ("The answer is e.g. this", None, "answer-is"),
    ("The answer is B or C", None, "answer-is"),
    ("The answer is B, not C", "B", "answer-is"),
    ("The answer is not B.", None, "answer-is"),
    ("The answer is F", None, "answer-is"),
    ("The answer is C. Question 2: x? The answer is D", "C", "answer-is"),
    ("The answer is\nB", "B", "answer-is"),
    ("so \\boxed{D}", "D", "boxed"),
    ("B. pole", "B", "letter"),
    ("(A) is wrong, so (B)", "B", "letter"),
    ("Either (A) or (B)", None, "letter"),
    ("A pole it is.", None, "letter"),
    ("I like it", None, "letter"),
    ("", None, "letter"),
]


@pytest.mark.parametrize(("text", "letter", "convention"), LETTERS)
def test_letters(text, letter, convention):
    found = ChoiceGrader().find(text)
    assert (found.answer, found.convention) == (letter, convention)
    for wanted in "ABCDE":
        assert ChoiceGrader().is_correct(text, wanted) is (wanted == letter)


QUESTION = "Tom is a bompus. Every bompus is a wumpus. Is Tom a wumpus or lorpus?"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("### Tom is a wumpus.", True),
        ("### tom is a Wumpus", True),
        ("Every bompus is a wumpus. So Tom is a wumpus, surely.", True),
        ("### Tom is a wumpus.\n### Tom is a lorpus.", True),
        ("### Tom is a lorpus.\n### Tom is a wumpus.", False),
        ("Tom is a wumpus. No, Tom is not a wumpus.", False),
        ("Tom is a wumpus. No, Tom isn't a wumpus.", False),
        ("Tom is a wumpus or a lorpus.", False),
        ("Tom is a wumpus. Question 2: … Ann is a lorpus.", True),
        ("Every Tom is a wumpus.", False),
        ("Tom is a wumpuss.", False),
    ],
)
def test_statements(text, right):
    problem = Problem(id="p", question=QUESTION, answer="Tom is a wumpus.")
    assert open_task("prosqa").is_correct(problem, text) is right


def test_a_plan_with_two_moves_on_a_line_is_as_long_as_it_is():
    task = open_task("blocksworld?blocks=3&verify=plan&least=2")
    problem = task.problems(1, np.random.default_rng(0))[0]
    moves = problem.steps[:-1]
    assert task.is_correct(problem, " ".join(moves))
    block, target = moves[-1][7], moves[-1].rsplit(" ", 1)[1].rstrip(">")
    longer = [*moves[:-1], f"{moves[-1]} Move {block} from {target} to {target}"]
    assert not task.is_correct(problem, "\n".join(longer))
    assert not task.is_correct(problem, "\n".join((*moves, "Move on")))
    assert judge(task, problem, "\n".join(moves)).convention == "plan"


@pytest.mark.parametrize(
    ("address", "response", "answer", "finished"),
    [
        ("arithmetic", "The answer is 7", None, False),
        ("arithmetic", "The answer is 7.\nThat is", None, False),
        ("arithmetic", "#### 7", None, False),
        ("arithmetic", "#### 7\nThat is", "7", True),
        ("arithmetic", "The answer is 7. Question 2: The answer", "7", True),
        ("arithmetic", "3 + 4\nQuestion: a", "4", True),
        ("sums", "#### 7", None, False),
        ("prosqa", "### Tom is a wumpus", None, False),
        ("prosqa", "### Tom is a wumpus.\nSo", "Tom is a wumpus.", True),
        ("blocksworld", "The answer is: 7", None, False),
    ],
)
def test_what_a_limit_cut_off_has_no_answer(address, response, answer, finished):
    problem = Problem(id="p", question=QUESTION, answer=answer or "7")
    verdict = judge(open_task(address), problem, response, is_cut=True)
    assert (verdict.answer, verdict.is_finished) == (answer, finished)
    assert verdict.is_correct is finished
    assert (verdict.convention == "unfinished") is not finished
    whole = judge(open_task(address), problem, response)
    assert whole.is_finished
    assert whole.answer is not None


def test_references_that_no_answer_can_equal_are_named_and_refused_when_they_are_most(tmp_path):
    path, draw = tmp_path / "q.jsonl", np.random.default_rng(0)
    clock, number = (
        '{"question": "when?", "answer": "3:30"}\n',
        '{"question": "b", "answer": "5"}\n',
    )
    path.write_text(clock + number)
    task = open_task(f"questions:{path}")
    assert [p.id for p in task.problems(2, draw)] == ["q:2"]
    assert [place for place, _ in task.skipped(2)] == ["q.jsonl:1"]
    assert len(open_task(f"questions:{path}?grader=math").problems(2, draw)) == 2
    path.write_text(clock + number + clock)
    with pytest.raises(DataError, match=r"2 of 3 reference answers .* q\.jsonl:1 '3:30'"):
        task.problems(3, draw)
