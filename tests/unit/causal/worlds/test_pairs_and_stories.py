"""Named pairs and stories: answers follow the file, and the order of names tells nothing."""

import csv

import numpy as np
import pytest

from causal.actual_causes import ActualCauses
from causal.cause_direction import CauseDirection
from causal.corr2cause import Corr2Cause
from workbench.errors import DataError


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.csv"
    with path.open("w", newline="") as file:
        rows = [("", "var1", "var2", "ground_truth")]
        rows += [(f"p{i}", f" cause{i}", f" effect{i}", " R" if i % 4 else "R") for i in range(40)]
        csv.writer(file).writerows([*rows, ("p40", "effect40", "cause40", "L")])
    return str(path)


def test_the_right_letter_stands_before_the_cause_and_the_order_is_drawn(pairs):
    items = CauseDirection(path=pairs).items(41, np.random.default_rng(0))
    for item in items:
        mine = item.prompt.split("A: ")[1].split("B: ")[item.gold]
        assert mine.startswith("changing cause")
    assert 10 < sum(item.gold for item in items) < 31
    masked = CauseDirection(path=pairs, masked=True).items(41, np.random.default_rng(0))
    assert not any("cause4" in item.prompt or "effect4" in item.prompt for item in masked)


def test_a_pair_of_one_name_is_left_out_and_named(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("var1,var2,ground_truth\na,b,R\nsoil, soil,L\nc,d,L\n")
    task = CauseDirection(path=str(path))
    assert len(task.items(9, np.random.default_rng(0))) == 2
    assert task.skipped(9) == [("pairs.csv:3", "both names are the same")]


def test_both_questions_of_a_story_have_their_own_answer(tmp_path):
    path = tmp_path / "stories.csv"
    path.write_text(
        "action,event,input,type,necessary,sufficient\n"
        "the rain,the flood,Input: It rained.,Switch,No,Yes \n"
    )
    one, other = ActualCauses(path=str(path)).items(10, np.random.default_rng(0))
    assert (one.answer, other.answer) == ("No", "Yes")
    assert one.prompt == "It rained. Would the flood have failed to occur without the rain?"
    assert one.group == other.group


def test_rows_that_do_not_fit_are_named_by_their_line(pairs, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("var1,var2,ground_truth\na,b,R\nc,d,X\n")
    with pytest.raises(DataError, match=r"1 rows of .* line 3"):
        CauseDirection(path=str(bad)).items(2, np.random.default_rng(0))
    with pytest.raises(DataError, match="no file is named"):
        ActualCauses().items(2, np.random.default_rng(0))


def test_a_denied_cause_is_one_that_no_graph_of_the_class_has():
    for item in Corr2Cause(nodes=3).items(12, np.random.default_rng(0)):
        if "denied" not in item.variants:
            continue
        effect, cause = item.variants["denied"].split(" is not caused by ")
        pair = [cause.split(".")[0], effect.split()[-1]]
        assert all(pair not in edges for edges in item.meta["graphs"].values())
        assert pair not in item.meta["edges"]
