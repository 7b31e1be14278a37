"""Every plugin on a model that overflows: finite numbers and a warning, or the cause."""

import json
import math
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from tests.contract.material import examples
from tests.contract.overflowing import FAMILY, TOKEN, overflowing_model
from tests.contract.running import setup
from workbench.errors import NotFinite
from workbench.methods.registry import find, plugins
from workbench.model.tiny import tiny_model
from workbench.result.finite_result import check_finite
from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store

QUICK_PROBES = ("logit-lens", "token-trace", "isotropy", "attention-pattern")
# Queries cannot be read on a model that overflows: it is refused before it runs. Soft inputs go
# through copies in float32, which do not overflow, and diffusion runs a masked network of its own.
_APART = ("rotary-bands", "soft-inputs", "diffusion")
PROBES = [plugin.name for plugin in plugins("probe") if plugin.name not in _APART]
REASONERS = [plugin.name for plugin in plugins("reasoner")]
RECIPES = {
    "tuned-lens": {"preset": "tiny", "steps": 2, "start_tokens": 0},
    "sentence-codec": {"preset": "tiny", "steps": 2},
    "contrastive-estimate": {"preset": "tiny", "epochs": 1},
}
HOWS = ("head", "layer", "row")
# What may stop a plugin before it has run the model: it needs weights trained for another one.
_EARLIER = ("model-not-found", "model", "unsupported")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return str(tmp_path_factory.mktemp("overflow"))


@cache
def _run_probe(name, how, folder):
    rows = Path(folder) / "rows.jsonl"
    if not rows.exists():
        # Both labels stand in every group, so that there are pairs of texts.
        lines = [
            json.dumps({"text": e.text, "label": e.label, "group": f"g{e.number // 4}"})
            for e in _some()
        ]
        rows.write_text("\n".join(lines))
    plugin = find("probe", name)
    task = plugin.recipe.default_task if plugin.takes == "task" else ""
    spec = RunSpec(
        name=name,
        options=_moved(name, how, folder),
        model=ModelRef(name=f"overflow:{how}", device="cpu"),
        data=DataRef(task=task, limit=2)
        if task
        else DataRef(path=str(rows), label="label", group="group"),
        resamples=20,
    )
    return execute(spec, model=overflowing_model(how))


def _moved(name, how, folder):
    """The options that let a probe run, its trained weights said to be those of this model."""
    options = dict(setup("probe", name).spec.options)
    options.pop("controls", None)  # fields that these rows do not have
    for option in ("checkpoint", "codec", "estimate", "dictionary"):
        if options.get(option):
            place = f"{folder}/{option}-{name}-{how}"
            shutil.copytree(options[option], place, dirs_exist_ok=True)
            manifest = json.loads((Path(place) / "manifest.json").read_text())
            manifest["base_hash"] = overflowing_model(how).spec.weights_hash
            (Path(place) / "manifest.json").write_text(json.dumps(manifest))
            options[option] = str(place)
    return options


@cache
def _some():
    return examples(24)


def _overflow():
    model = tiny_model(FAMILY)
    return [i for i, e in enumerate(_some()) if TOKEN in model.tokenize(e.text).row(0)]


def _check(run, *, may_lack_weights=False):
    """Finite numbers, and a warning where rows were left out; or the cause, and no other."""
    if run.failure is None:
        _check_result(run)
    else:
        allowed = ("not-finite", *(_EARLIER if may_lack_weights else ()))
        assert run.failure.code in allowed, run.failure
        if run.failure.code == "not-finite":
            assert "float16" in run.failure.message
            assert "float32" in run.failure.hint


def _check_result(run):
    check_finite(run.result)
    json.dumps(run.as_dict(), allow_nan=False)
    if run.status == "partial":
        note = next(note for note in run.result.notes if note.code == "not-finite")
        assert note.level == "warning"
        assert "resid_post.1" in note.text
        assert len(run.result.tables["bad_rows"]) == len(_overflow())


def _marked(names, quick, hows):
    return [
        pytest.param(name, how, marks=() if how in quick(name) else pytest.mark.slow)
        for name in names
        for how in hows
    ]


@pytest.mark.parametrize(
    ("name", "how"), _marked(PROBES, lambda n: HOWS if n in QUICK_PROBES else ("layer",), HOWS)
)
def test_a_probe_on_a_model_that_overflows(name, how, folder):
    run = _run_probe(name, how, folder)
    _check(run)
    if how == "layer":
        assert run.failure is not None
        assert "resid_post.1" in run.failure.message or "the logits" in run.failure.message


@pytest.mark.parametrize("name", QUICK_PROBES)
def test_rows_that_overflow_are_left_out_and_the_rest_is_as_without_them(name, folder):
    left_out = _overflow()
    assert 0 < len(left_out) < len(_some())
    found = _run_probe(name, "row", folder)
    assert found.status == "partial"
    good = [e for i, e in enumerate(_some()) if i not in left_out]
    spec = replace(found.spec, data=DataRef(texts=tuple(e.text for e in good)))
    alone = execute(spec, model=overflowing_model("row"))
    assert alone.status == "complete"
    if "texts" in {e.n_unit for e in alone.result.estimates}:
        assert [e.n for e in found.result.estimates] == [e.n for e in alone.result.estimates]
    for one, other in zip(found.result.estimates, alone.result.estimates, strict=True):
        assert one.name == other.name
        assert (one.value is None) == (other.value is None)
        assert one.value is None or math.isclose(one.value, other.value, rel_tol=1e-3)


@pytest.mark.parametrize(
    ("name", "how"), _marked(REASONERS, lambda n: ("head",) if n == "cot" else (), HOWS)
)
def test_a_reasoner_on_a_model_that_overflows(name, how):
    names = {option.name for option in find("reasoner", name).options}
    spec = RunSpec(
        kind="reasoner",
        name=name,
        options={o: 6 for o in ("limit", "new_tokens", "tokens") if o in names},
        model=ModelRef(name=f"overflow:{how}", device="cpu"),
        data=DataRef(task="sums?terms=2&largest=9", limit=2),
        resamples=20,
    )
    _check(execute(spec, model=overflowing_model(how)), may_lack_weights=True)


@pytest.mark.parametrize(
    ("name", "how"), _marked(RECIPES, lambda n: ("layer",) if n == "tuned-lens" else (), HOWS)
)
def test_a_recipe_on_a_model_that_overflows(name, how, tmp_path):
    texts = tuple(e.text for e in _some())
    spec = RunSpec(
        kind="recipe",
        name=name,
        options=RECIPES[name],
        model=ModelRef(name=f"overflow:{how}", device="cpu"),
        data=DataRef(task="sums?terms=2&largest=9", limit=3)
        if find("recipe", name).takes == "task"
        else DataRef(texts=texts),
        resamples=20,
    )
    _check(execute(spec, store=Store(tmp_path), model=overflowing_model(how)))


def test_rows_left_out_do_not_meet_what_all_rows_left_behind(tmp_path):
    texts = tuple(e.text for e in examples(16))
    spec = RunSpec(
        kind="recipe",
        name="tuned-lens",
        options=RECIPES["tuned-lens"],
        model=ModelRef(name="overflow:row", device="cpu"),
        data=DataRef(texts=texts),
        resamples=20,
    )
    run = execute(spec, store=Store(tmp_path), model=overflowing_model("row"))
    assert run.failure is None, run.failure
    assert run.status == "partial"


def test_weights_that_are_not_finite_are_named():
    model = overflowing_model.__wrapped__("row")
    with torch.no_grad():
        model.backend.module.model.layers[2].mlp.up_proj.weight[0, 0] = float("nan")
    spec = RunSpec(
        name="token-trace", model=ModelRef(name="broken"), data=DataRef(texts=("the cat sat .",))
    )
    run = execute(spec, model=model)
    assert run.failure.code == "not-finite"
    assert "model.layers.2.mlp.up_proj.weight" in run.failure.message


def test_a_float32_model_that_is_finite_is_left_alone(folder):
    model = tiny_model(FAMILY)
    texts = tuple(e.text for e in _some()[:3])
    run = execute(RunSpec(name="token-trace", data=DataRef(texts=texts), resamples=5), model=model)
    assert run.status == "complete"
    assert not [note for note in run.result.notes if note.code == "not-finite"]


def test_the_watch_is_not_asked_once_per_site():
    """Flags wait on an accelerator; here, where asking is free, one question per pass."""
    from workbench.model.finite import FiniteWatch, watching

    model = tiny_model(FAMILY)
    asked = []
    model.run(["the cat"], read=["resid_post.0", "q.1"])  # what it can do is found out here
    known = FiniteWatch.check
    FiniteWatch.check = lambda self: (asked.append(1), known(self))[1]
    try:
        with watching():
            model.run(["the cat", "the cat sat ."], read=["resid_post.0", "q.1"], logits="all")
    finally:
        FiniteWatch.check = known
    assert len(asked) == 1


def test_padding_may_hold_anything():
    from workbench.model.finite import finite_rows
    from workbench.model.sites import Site

    x = torch.zeros(2, 3, 4)
    x[0, 2] = float("nan")
    mask = torch.tensor([[True, True, False], [True, True, True]])
    assert finite_rows(x, Site.parse("resid_post.0"), mask).tolist() == [True, True]
    assert finite_rows(x, Site.parse("resid_post.0[-1]"), mask).tolist() == [False, True]
    x[1, 0, 1] = float("inf")
    assert finite_rows(x, None, mask).tolist() == [True, False]


def test_a_result_is_not_kept_with_numbers_that_are_not():
    import numpy as np

    from workbench.result.result import Note, Result
    from workbench.result.tables import Table

    check_finite(Result(summary="about 'nan' and Nancy", tables={"t": _table(float("nan"))}))
    check_finite(Result(summary="nan.csv has a column nan", tables={"t": _table(1.0, "nan")}))
    for bad, words in (
        (Result(summary="KL is nan nats"), "words"),
        (Result(summary="", notes=(Note("the loss was inf"),)), "words"),
        (Result(summary="", arrays={"a": np.array([1.0, np.nan])}), "array a: 1 of 2"),
        (Result(summary="", tables={"t": _table(float("-inf"))}), "table t, column x: 1 inf"),
    ):
        with pytest.raises(NotFinite, match=words):
            check_finite(bad)
    assert isinstance(_table(1.0), Table)


def _table(value, column="x"):
    from workbench.result.tables import Table

    return Table.from_rows([{column: 1.0}, {column: value}])
