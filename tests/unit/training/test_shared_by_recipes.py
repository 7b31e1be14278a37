"""What recipes share: presets with options on top, ablations by name, splits, tables of losses."""

from dataclasses import dataclass

import numpy as np
import pytest

from workbench.errors import BadOption
from workbench.result.tables import Column
from workbench.training.ablations import Ablation, by_name, null_note, selected, undecided
from workbench.training.loop import History
from workbench.training.presets import Preset
from workbench.training.report import loss_tables, loss_views
from workbench.training.splits import hold_out

LOSS = Column("nats")


@dataclass(frozen=True, kw_only=True)
class Sizes(Preset):
    problems: int
    steps: int = 5


@dataclass(frozen=True)
class Options:
    steps: int | None = None
    problems: int | None = None
    beta: float = 2.0


def test_options_go_on_top_of_a_preset_and_a_limit_below_them():
    preset = Sizes(problems=100)
    assert preset.with_options(Options()) == preset
    assert preset.with_options(Options(steps=7), 9) == Sizes(problems=9, steps=7)
    assert preset.with_options(Options(problems=20), 9).problems == 20


def test_ablations_are_named_once_and_known():
    known = by_name(Ablation(name="a"), Ablation(name="b"))
    assert [one.name for one in selected(" b, a", known)] == ["b", "a"]
    for names in ("", "a,a", "a,c"):
        with pytest.raises(BadOption, match="different ones of a, b"):
            selected(names, known)


def test_only_intervals_that_hold_zero_are_undecided():
    pairs = [{"low": -1.0, "high": 1.0}, {"low": 0.1, "high": 1.0}, {"low": None, "high": None}]
    assert undecided(pairs) == pairs[:1]
    assert null_note(["a and b"])[0].code == "null"
    assert null_note([]) == ()


@pytest.mark.parametrize(("n", "share", "most", "held"), [
    (10, 0.2, None, 2), (10, 0.01, None, 1), (2, 0.5, None, 1), (1, 0.5, None, 0), (100, 0.5, 8, 8),
])  # fmt: skip
def test_a_share_is_held_out_and_something_is_left(n, share, most, held):
    kept, apart = hold_out(n, share, np.random.default_rng(0), most=most)
    assert len(apart) == held
    assert sorted([*kept, *apart]) == list(range(n))


def test_losses_of_one_and_of_several_histories():
    one = History(losses=(3.0, 2.0), rates=(0.1, 0.2), validations=((0, 4.0), (2, 1.0)))
    alone = loss_tables({"x": one}, LOSS, LOSS)
    assert alone["steps"].rows()[1] == {"step": 2, "loss": 2.0, "learning_rate": 0.2}
    assert alone["validation"].rows() == [{"step": 0, "loss": 4.0}, {"step": 2, "loss": 1.0}]
    both = loss_tables({"x": one, "y": one}, LOSS, LOSS, group="model")
    assert [row["model"] for row in both["steps"].rows()] == ["x", "x", "y", "y"]
    assert [view.group for view in loss_views(group="model")] == ["model", "model"]
