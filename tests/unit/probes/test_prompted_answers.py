"""Answers in words: planted responses give the metrics they must, and errors are told apart."""

from dataclasses import replace

import numpy as np
import pytest

from causal.counterbench import CounterBench
from probes.adaptations import ADAPTATIONS, CHALLENGED, adapted
from probes.prompted_answers import _report, failures
from workbench.methods.contracts import Context
from workbench.result.chain import Chain
from workbench.sampling.evaluation import judge

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


@pytest.mark.parametrize(
    ("response", "kinds"),
    [
        ("Yes.", set()),
        ("  \n", {"empty"}),
        ("I cannot tell.", {"unread"}),
        ("Is it so that a b c d e f g h holds? Yes.", {"repeats"}),
        ("The answer is Yes 是的", {"foreign"}),
    ],
)
def test_kinds_of_error(response, kinds):
    question = "Is it so that a b c d e f g h holds?"
    problem = replace(PROBLEMS[0], question=question)
    found = failures(question, response, judge(TASK, problem, response))
    assert {name for name, is_so in found.items() if is_so} - {"unread"} == kinds - {"unread"}
    assert found["unread"] is ("unread" in kinds)


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
