"""Rows of CaLM: what is asked, what the graph answers, and numbers to four places."""

import json

import numpy as np
import pytest

from causal.calm import Calm
from causal.worlds.audit import audit
from workbench.errors import DataError

_CHAIN = {"vertices": ["A", "B", "C", "D"], "edges": "A causes B, A causes C, and B causes C"}
_SET = {**_CHAIN, "treatment": "B", "outcome": "C", "option1": "A", "option2": "D",
        "option3": "C"}  # fmt: skip
_EFFECT = {
    "Background": {
        "graph": "Given a causal graph with 2 nodes A, B, and 1 edges A->B.",
        "real_world_meaning": "A represents rain and B represents flood. ",
        "data_info": "",
    },
    "given_info": "Rain has a direct effect on flood.",
    "Instruction": "Consider the average treatment effect (ATE) of {x} on {y}.",
    "Question": "Is it more likely?",
    "Type": "ATE",
}


def _effect(x, y, answer):
    told = _EFFECT["Instruction"].format(x=x, y=y)
    return {**_EFFECT, "Instruction": told, "gt_answer": answer}


def _written(tmp_path, name, rows):
    path = tmp_path / f"{name}_EN.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.mark.parametrize(
    ("name", "row", "computed"),
    [
        ("AR-B_CaLM-AR", {**_CHAIN, "ar_edges": _CHAIN["edges"], "former": "C", "latter": "C"}, 0),
        ("CA-B_FA", {**_CHAIN, "sampled_ancestor": "A", "attribution": "C"}, 1),
        ("CA-B_FP", {**_CHAIN, "sampled_parent": "D", "attribution": "C"}, 0),
        ("CEI-B_0.2-UC", {**_CHAIN, "di_edges": _CHAIN["edges"], "bi_edges": "B and C",
                          "treatment": "B", "outcome": "C"}, 0),
        ("BAS-C_min-BAS", _SET, 1),
        ("IV-C_CaLM-IV", {**_SET, "edges": "A causes B, and B causes C"}, 1),
        ("FAS-C_FAS", {**_SET, "edges": "B causes D, and D causes C"}, 2),
    ],
)  # fmt: skip
def test_the_graph_answers_and_a_wrong_label_is_found(tmp_path, name, row, computed):
    others = (2, 3) if computed and "option1" in row else (1 - computed,)
    rows = [{**row, "gt_answer": x} for x in (computed, next(o for o in others if o != computed))]
    found = audit(_written(tmp_path, name, rows))
    assert [r["source"].partition(":")[2] for r in found.table("wrong").rows()] == ["2"]
    item = Calm(path=str(_written(tmp_path, name, rows))).items(1, np.random.default_rng(0))[0]
    assert item.answer == (str(computed) if "option1" in row else ("No", "Yes")[computed])
    assert item.proof


def test_two_right_options_leave_a_question_open(tmp_path):
    rows = [{**_SET, "option2": "A, D", "gt_answer": 1}]
    found = audit(_written(tmp_path, "BAS-C_mix-BAS", rows))
    assert len(found.table("undecided")) == 1
    # Of several valid sets the largest one offered is meant.
    assert (
        audit(_written(tmp_path, "BAS-C_max-BAS", rows)).table("wrong").rows()[0]["computed"] == "2"
    )


def test_an_effect_without_a_path_is_zero_and_numbers_decide_the_rest(tmp_path):
    rows = [
        _effect("flood", "rain", 0.25),
        _effect("flood", "rain", 0),
        _effect("rain", "flood", 1),
    ]
    found = audit(_written(tmp_path, "ATE-P_ATE-basic", rows))
    assert [r["stated"] for r in found.table("wrong").rows()] == ["0.2500"]
    assert len(found.table("undecided")) == 1
    assert audit(_written(tmp_path, "ATE-B_ATE-natural", [_effect("flood", "rain", "Yes")])).table(
        "wrong").rows()[0]["computed"] == "No"  # fmt: skip


def test_numbers_are_right_to_four_places(tmp_path):
    task = Calm(path=str(_written(tmp_path, "PN-P_PN-basic", [_effect("rain", "flood", 0.12344)])))
    (problem,) = task.problems(5, np.random.default_rng(0))
    assert task.choices(problem) == ()
    said = ("The answer is 0.1234.", "The answer is 0.12338.", "The answer is 0.1236.", "Yes")
    assert [task.is_correct(problem, s) for s in said] == [True, True, False, False]
    assert task.find(said[0]).answer == "0.1234"
    with pytest.raises(DataError, match="numbers"):
        task.items(5, np.random.default_rng(0))


def test_rows_that_are_none_are_refused(tmp_path):
    with pytest.raises(DataError, match="no file"):
        Calm().items(1, np.random.default_rng(0))
    odd = _written(tmp_path, "AR-B", [{**_CHAIN, "ar_edges": "A causes Q", "former": "Q",
                                       "latter": "A", "gt_answer": 0}])  # fmt: skip
    with pytest.raises(DataError, match="KeyError"):
        Calm(path=str(odd)).items(1, np.random.default_rng(0))
    odd = _written(tmp_path, "strange", [{**_SET, "gt_answer": 1}])
    with pytest.raises(DataError, match="which set"):
        Calm(path=str(odd)).items(1, np.random.default_rng(0))
