"""Audits find the planted errors, prove them, and survive rows that are none."""

import gzip
import json

import numpy as np
import pytest

from causal.corr2cause import Corr2Cause
from causal.counterbench import CounterBench
from causal.worlds.audit import audit
from workbench.errors import DataError
from workbench.sampling.task import open_task


def _written(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def _correlations():
    for item in Corr2Cause(wording="released").items(12, np.random.default_rng(0)):
        premise, hypothesis = item.prompt.split(" Does it follow that: ")
        text = f"Premise: {premise}\nHypothesis: {hypothesis}"
        yield {"input": text, "label": int(item.gold == 0)}


def _booleans():
    for item in CounterBench().items(12, np.random.default_rng(0)):
        facts, question = item.prompt.split(". ", 1)
        yield {"given_info": f"{facts}.", "question": question, "answer": item.answer.lower()}


@pytest.mark.parametrize(("rows", "field"), [(_correlations, "label"), (_booleans, "answer")])
def test_a_flipped_label_is_found_with_its_proof(tmp_path, rows, field):
    found = list(rows())
    right = audit(_written(tmp_path / "right.jsonl", found))
    assert "wrong" not in right.tables
    assert right.summary.startswith("no label of 12")
    found[4][field] = {0: 1, 1: 0, "yes": "no", "no": "yes"}[found[4][field]]
    wrong = audit(_written(tmp_path / "wrong.jsonl", found)).table("wrong").rows()
    assert [row["source"] for row in wrong] == ["wrong.jsonl:5"]
    assert wrong[0]["proof"]


def test_bad_rows_are_named_and_the_others_judged(tmp_path):
    rows = list(_correlations())
    path = tmp_path / "some.jsonl"
    lines = [json.dumps(r) for r in (rows[0], {"input": "Premise: x\nHypothesis: y", "label": 1})]
    lines += ["{broken", "[1]", json.dumps(rows[1] | {"label": "maybe"}), json.dumps(rows[1])]
    path.write_text("\n".join(lines))
    found = audit(path)
    assert found.estimate("wrong labels").n == 2
    bad = [row["source"] for row in found.table("bad_rows").rows()]
    assert bad == [f"some.jsonl:{n}" for n in (2, 3, 4, 5)]


def test_a_boolean_question_that_names_its_query_needs_no_model(tmp_path):
    row = _question("no", query_type="det-counterfactual", rung=3)
    del row["meta"]["polarity"]
    row |= {"given_info": "We know that A causes B.", "question": "Would B occur if A?"}
    found = audit(_written(tmp_path / "a.jsonl", [row]))
    assert "CounterBench" in found.summary
    assert found.table("wrong").rows()[0]["computed"] == "yes"


@pytest.mark.parametrize(
    ("task", "rows", "odd", "fault"),
    [
        ("corr2cause", _correlations, {"label": "maybe"}, "the label is 'maybe'"),
        ("counterbench", _booleans, {"answer": None}, "the answer is None"),
        ("cladder", _booleans, {"answer": 3}, "the answer is 3"),
    ],
)
def test_rows_of_a_released_file_that_cannot_be_asked_are_named(tmp_path, task, rows, odd, fault):
    good = list(rows())
    path = _written(tmp_path / "some.jsonl", [good[0], good[1] | odd, {"text": "no"}, good[2]])
    read = open_task(f"{task}:{path}")
    items = read.items(9, np.random.default_rng(0))
    assert [item.id for item in items] == ["some:1", "some:4"]
    places, faults = zip(*read.skipped(9), strict=True)
    assert places == ("some.jsonl:2", "some.jsonl:3")
    assert fault in faults[0]
    assert open_task(task).skipped(9) == ()
    none = open_task(f"{task}:{_written(tmp_path / 'none.jsonl', [{'text': 'no'}])}")
    with pytest.raises(DataError, match="holds no question: no "):
        none.items(1, np.random.default_rng(0))


def _model(number, stored, structure="X->Y", params=None):
    return {
        "model_id": number,
        "structure": structure,
        "params": params or {"p(X)": 0.5, "p(Y | X)": [0.2, 0.8]},
        "groundtruth": stored,
        "equation_type": "bernoulli",
    }


def _question(answer, number=0, **meta):
    told = {"query_type": "ate", "polarity": True, "model_id": number, **meta}
    return {"given_info": "Facts.", "question": "Does it?", "answer": answer, "meta": told}


def test_questions_are_joined_to_their_models(tmp_path):
    (tmp_path / "set-model-meta.json").write_text(json.dumps([_model(0, {})]))
    path = tmp_path / "set.json.gz"
    rows = [_question("yes"), _question("no"), _question("yes", number=9), _question("perhaps")]
    path.write_bytes(gzip.compress(json.dumps(rows).encode()))
    found = audit(path)
    assert [r["source"] for r in found.table("wrong").rows()] == ["set.json.gz:2"]
    assert "0.6000" in found.table("wrong").rows()[0]["proof"]
    assert len(found.table("bad_rows")) == 2
    alone = tmp_path / "alone"
    alone.mkdir()
    path.rename(alone / "set.json.gz")
    with pytest.raises(DataError, match="no model"):
        audit(alone / "set.json.gz")
    assert audit(alone / "set.json.gz", models=tmp_path / "set-model-meta.json").estimates


def test_stored_marginals_that_break_total_probability_are_wrong(tmp_path):
    params = {"p(X)": 0.5, "p(V2 | X)": [0.1, 0.9], "p(Y | X, V2)": [[0.1, 0.9], [0.9, 0.1]]}
    structure = "X->V2,X->Y,V2->Y"
    # As if V2 were independent of X: P(Y=1) = 0.5, where it is 0.18.
    rows = [_model(0, {"P(Y=1)": 0.5, "P(X=1)": 0.5}, structure, params),
            _model(1, {"P(Y=1)": 0.18, "P(X=1)": 0.5}, structure, params)]  # fmt: skip
    found = audit(_written(tmp_path / "models.jsonl", rows)).table("wrong").rows()
    assert [row["source"] for row in found] == ["models.jsonl:1"]
    assert "P(Y=1) is 0.1800, stored as 0.5000" in found[0]["proof"]


def test_two_right_sets_leave_a_question_open(tmp_path):
    models = [_model(0, {}, "X->Y,V2->Y", {"p(X)": 0.5, "p(V2)": 0.5, "p(Y | X, V2)": [[0.1, 0.2],
              [0.3, 0.4]]})]  # fmt: skip
    (tmp_path / "a-model-meta.json").write_text(json.dumps(models))
    row = _question("no", query_type="backadj", given_info=[["V2"], []])
    found = audit(_written(tmp_path / "a.jsonl", [row]))
    assert len(found.table("undecided")) == 1
    assert "wrong" not in found.tables


def test_a_file_of_no_known_set_is_refused(tmp_path):
    with pytest.raises(DataError, match="no known set"):
        audit(_written(tmp_path / "a.jsonl", [{"text": "no"}]))
    with pytest.raises(DataError, match="cannot read"):
        audit(tmp_path / "gone.jsonl")
    empty = tmp_path / "empty.json"
    empty.write_text("")
    with pytest.raises(DataError, match="no record"):
        audit(empty)
