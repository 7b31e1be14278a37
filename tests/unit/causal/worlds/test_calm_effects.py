"""Effects from listed probabilities are those of the model that the list was made from."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from causal.worlds.binary_model import BinaryModel
from causal.worlds.calm_effects import Effect, value_of

_DRAW = np.random.default_rng(0)
_PARENTS = {"Z": (), "X": ("Z",), "M": ("X", "Z"), "Y": ("X", "M", "Z")}
MODEL = BinaryModel(
    names=tuple(_PARENTS),
    parents=_PARENTS,
    tables={v: _DRAW.uniform(0.1, 0.9, size=(2,) * len(p)) for v, p in _PARENTS.items()},
)
EDGES = tuple((p, v) for v, parents in _PARENTS.items() for p in parents)


def _listed(*signatures):
    """List P(of=1 | given) for every value of what is given, as `Y|XMZ`."""
    told = []
    for signature in signatures:
        of, _, given = signature.partition("|")
        for state in product((0, 1), repeat=len(given)):
            where = dict(zip(given, state, strict=True))
            p = MODEL.p({of: 1}, where)
            mark = "|" + ",".join(f"{v}={x}" for v, x in where.items()) if where else ""
            told.append(f"P({of}=1{mark})={p:.12f};")
    return " ".join(told)


def _asked(kind, listed, formula="", *, is_upper=False, edges=EDGES):
    return Effect(kind=kind, x="X", y="Y", listed=listed, formula=formula, is_upper=is_upper,
                  edges=edges)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "listed", "formula", "truth"),
    [
        ("ATE", ("Y|XZ", "Z"), "P(Y=1|do(X=1))-P(Y=1|do(X=0))", MODEL.ate()),
        ("ATE", ("Y|XZ", "Z"), "P(Y=0|do(X=1))-P(Y=0|do(X=0))", -MODEL.ate()),
        ("ETT", ("Y|XZ", "Z|X"), "E[Y_{X=1}-Y_{X=0}|X=1]=P(Y=1|X=1)-", MODEL.ett()),
        ("NDE", ("Y|XMZ", "M|XZ", "Z"), "[P(Y=1|X=1,M)-P(Y=1|X=0,M)]*P(M|X=0)", MODEL.nde()),
        ("NIE", ("Y|XMZ", "M|XZ", "Z"), "P(Y=1|X=0,M)*[P(M|X=1)-P(M|X=0)]", MODEL.nie()),
    ],
)
def test_effects_are_those_of_the_model(kind, listed, formula, truth):
    found = value_of(_asked(kind, _listed(*listed), formula))
    assert found.value == pytest.approx(truth, abs=1e-9)
    assert kind in found.told


def test_a_controlled_effect_holds_the_mediator_where_it_is_listed():
    listed = " ".join(p for p in _listed("Y|XMZ", "Z").split() if "M=0" not in p)
    found = value_of(_asked("CDE", listed, "P(Y=1|do(X=1,M=1))-P(Y=1|do(X=0,M=1))"))
    truth = MODEL.p({"Y": 1}, do={"X": 1, "M": 1}) - MODEL.p({"Y": 1}, do={"X": 0, "M": 1})
    assert found.value == pytest.approx(truth, abs=1e-9)


@pytest.mark.parametrize("is_upper", [True, False])
def test_bounds_follow_what_is_done_and_what_is_seen(is_upper):
    listed = " ".join(p for p in _listed("Y|XZ", "Z", "Y").split() if "X=1" not in p)
    joint = {(x, y): MODEL.p({"X": x, "Y": y}) for x, y in product((0, 1), repeat=2)}
    listed += " ".join(f"P(X={x},Y={y})={p:.12f};" for (x, y), p in joint.items())
    done, seen = MODEL.p({"Y": 1}, do={"X": 0}), MODEL.p({"Y": 1})
    truth = (done - joint[0, 1]) / joint[1, 0] if is_upper else (seen - done) / joint[1, 1]
    found = value_of(_asked("PN", listed, is_upper=is_upper))
    assert found.value == pytest.approx(min(1.0, max(0.0, truth)), abs=1e-6)
    assert found.rounding > 1.5e-4  # it is divided by a probability


def test_what_is_left_out_or_leaves_a_door_open_gives_no_value():
    short = _asked("ETT", " ".join(_listed("Y|XZ", "Z|X").split()[:3]), "E[Y_{X=1}|X=1]=P(Y=1|X=1)")
    assert "leaves out" in value_of(short).told
    open_ = _asked("ATE", _listed("Y|X"), "P(Y=1|do(X=1))-P(Y=1|do(X=0))")
    assert "back door" in value_of(open_).told
    closed = replace(open_, edges=(("X", "Y"), ("Z", "Y")))
    assert value_of(closed).value is not None
