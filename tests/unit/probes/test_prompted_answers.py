"""Answers in words: planted responses give the metrics they must, and errors are told apart."""

from dataclasses import replace

import numpy as np
import pytest

from causal.counterbench import CounterBench
from probes.adaptations import ADAPTATIONS, CHALLENGED, adapted
from probes.prompted_answers import _report
from probes.response_errors import ERRORS, equations, failures
from workbench.methods.contracts import Context
from workbench.result.chain import Chain
from workbench.sampling.evaluation import Verdict, judge

TASK = CounterBench(nodes=4)
PROBLEMS = TASK.problems(40, np.random.default_rng(0))


def _said(answer):
    return {way: [Chain(steps=(), response=answer(way, p), ended="end") for p in PROBLEMS]
            for way in ADAPTATIONS}  # fmt: skip


def _values(answer):
    found = _report(TASK, PROBLEMS, _said(answer), Context())
    return found, {row["adaptation"]: row for row in found.table("prompts").rows()}


def test_a_model_that_always_says_yes():
    found, rows = _values(lambda way, p: "Yes.")
    yes = np.mean([p.answer == "Yes" for p in PROBLEMS])
    assert all(row["right"] == pytest.approx(yes) for row in rows.values())
    assert all(row["alike"] == 1.0 and row["unread"] == 0.0 for row in rows.values())
    assert all(rows[way]["kept"] == 1.0 for way in CHALLENGED)
    assert found.estimate("volatility over prompts").value == pytest.approx(0.0)
    assert found.summary.startswith("No better than answers to other questions")


def test_a_model_that_knows_until_it_is_doubted():
    turned = {"Yes": "No", "No": "Yes"}
    found, rows = _values(lambda way, p: turned[p.answer] if way == "doubt" else p.answer)
    assert rows["basic"]["right"] == rows["ignore"]["kept"] == 1.0
    assert rows["doubt"]["right"] == rows["doubt"]["kept"] == 0.0
    assert rows["role"]["kept"] is None
    spread = np.std([0.0] + [1.0] * (len(ADAPTATIONS) - 1), ddof=1)
    told = found.estimate("volatility over prompts")
    assert told.value == pytest.approx(spread)
    # Dealt anew, every way is wrong as often as every other, up to chance.
    assert told.control < spread / 2
    assert found.estimate("right answers, asked bare").control < 0.8


QUESTION = "Is it so that A, B, C and D act? A causes B, B causes C, and D causes C."
EDGES = [["A", "B"], ["B", "C"], ["D", "C"]]


def _kinds(response, answer="Yes", **meta):
    fields = {"choices": ("Yes", "No"), "meta": {"edges": EDGES, **meta}}
    problem = replace(PROBLEMS[0], question=QUESTION, answer=answer, fields=fields)
    return failures(problem, response, judge(TASK, problem, response))


@pytest.mark.parametrize(
    ("response", "kinds"),
    [
        ("Yes.", set()),
        ("  \n", {"empty"}),
        ("I cannot tell.", {"unread"}),
        ("Is it so that A, B, C and D act? Yes.", {"repeats"}),
        ("The answer is Yes 是的", {"foreign"}),
        ("No, it is so. The answer is Yes.", {"contradicts"}),
        ("The answer is No. So the answer is Yes.", {"contradicts"}),
        ("The answer is not No. The answer is Yes.", set()),
        ("No event is left out. The answer is Yes.", set()),
        ("A causes C and A does not cause D. The answer is Yes.", set()),
        ("A causes D. The answer is Yes.", {"invents", "unsound"}),
        ("A leads to B -> A. The answer is Yes.", {"reverses", "unsound"}),
        ("A causes D. The answer is No.", {"invents"}),
        ("0.3*(0.5 + 0.2) = 0.21, 1/3 = 0.333. The answer is Yes.", set()),
        ("0.3 × 0.5 = 0.25. The answer is Yes.", {"miscalculates", "unsound"}),
        ("P(B|A=1)=0.7 and x - 0.1 = 5. The answer is Yes.", set()),
    ],
)
def test_kinds_of_error(response, kinds):
    found = _kinds(response)
    assert set(found) == set(ERRORS)
    assert {name for name, is_so in found.items() if is_so} == kinds
    assert (found["unsound"] is None) is ("answer is Yes" not in response and "Yes" not in response)


def test_what_the_limit_ended_is_not_called_an_answer_in_another_form():
    problem = replace(PROBLEMS[0], question=QUESTION, answer="Yes")
    verdict = judge(TASK, problem, "The answer is Yes. And", is_cut=True)
    found = failures(problem, "The answer is Yes. And", verdict)
    assert found["unfinished"]
    assert not found["unread"]


def test_claims_are_judged_where_the_question_has_one_graph():
    assert _kinds("A causes D. Yes.", class_size=3)["invents"] is None
    assert _kinds("A causes D. Yes.", edges=[])["reverses"] is None
    number = replace(PROBLEMS[0], question=QUESTION, answer="0.5", fields={"edges": EDGES})
    text = "C causes A. The answer is 0.4. The answer is 0.5."
    verdict = Verdict(answer="0.5", is_correct=True, grader="number", convention="answer-is")
    found = failures(number, text, verdict)
    assert {name for name, is_so in found.items() if is_so} == {
        "contradicts",
        "reverses",
        "unsound",
    }
    assert list(equations("2 - 1 = 1, 7/0 = 3, (2 = 2, 3 = 3, 4 + 4 = 9")) == [True, False]


def test_every_way_holds_the_question_and_never_its_answer():
    asked, shown = PROBLEMS[3], [replace(p, steps=("because.",)) for p in PROBLEMS[:3]]
    for way in ADAPTATIONS:
        text = adapted(asked, way, shown, "No.").question
        assert asked.question in text
        assert text.count("The answer is ") == {"one-shot": 1, "three-shot": 3, "worked": 1}.get(
            way, 0
        )
        assert ("because." in text) is (way == "worked")
    assert len({adapted(asked, way, shown, "No.").question for way in ADAPTATIONS}) == 9
