"""What probes promise beyond every plugin: shapes, sites, states, batches, planted answers."""

from functools import cache

import numpy as np
import pytest
import torch

from tests.contract.case import assert_same_tables
from tests.contract.material import FAMILY, examples
from tests.contract.running import run_of, setup
from workbench.methods.contracts import Context, Measure, ReadoutProbe, Study
from workbench.methods.per_unit import PerUnit
from workbench.methods.registry import find, plugins
from workbench.model.tiny import FAMILIES, tiny_model
from workbench.options import build
from workbench.runs.counting import start
from workbench.runs.drivers import driver_of
from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, ModelRef, RunSpec

PROBES = [plugin.name for plugin in plugins("probe")]
SHAPES = {"per unit": PerUnit, "measure": Measure, "readout": ReadoutProbe, "study": Study}
# A study runs the model itself; the others are handed what was read.
COUNTED = [plugin.name for plugin in plugins("probe") if driver_of(plugin.recipe).can_batch]
OF_TEXTS = [plugin.name for plugin in plugins("probe") if plugin.takes != "task"]
NEED_LABELS = {plugin.name for plugin in plugins("probe") if plugin.takes == "labelled texts"}


def _plugin(name):
    return find("probe", name)


@pytest.mark.parametrize("name", PROBES)
def test_it_has_one_shape(name):
    made = _plugin(name).recipe()
    shapes = [shape for shape, protocol in SHAPES.items() if isinstance(made, protocol)]
    assert len(shapes) == 1, shapes


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", COUNTED)
def test_its_sites_exist_on_every_model(name, family):
    model, trace = _read_by_all(family)
    sites = _plugin(name).recipe().sites(model.spec)
    assert sites
    assert model.sites(sites) == tuple(dict.fromkeys(sites)), "sites come resolved"
    for site in sites:
        assert torch.isfinite(trace[site]).all()


@cache
def _read_by_all(family):
    """Read what any probe reads, once for a model."""
    model = tiny_model(family)
    sites = [site for name in COUNTED for site in _plugin(name).recipe().sites(model.spec)]
    return model, model.run("one two three four", read=list(dict.fromkeys(sites)))


@pytest.mark.parametrize("name", COUNTED)
def test_states_merge(name):
    recipe = build(_plugin(name).recipe, setup("probe", name).spec.options)
    model = tiny_model(FAMILY)
    context = Context.of(model, resamples=20, seed=1)
    rows = examples()
    batches = [rows[i : i + 6] for i in range(0, 24, 6)]
    traces = [
        model.run([e.text for e in batch], read=recipe.sites(model.spec)) for batch in batches
    ]
    whole, left, right = (start(recipe, context) for _ in range(3))
    for i, (trace, batch) in enumerate(zip(traces, batches, strict=True)):
        whole.add(trace, batch)
        (left if i < 2 else right).add(trace, batch)
    left.merge(right.state())
    again = start(recipe, context)
    again.merge({name: array.copy() for name, array in left.state().items()})
    expected = whole.result(context)
    for one in (left, again):
        _assert_close(one.state(), whole.state())
        assert_same_tables(one.result(context), expected)


def _assert_close(found, expected):
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        assert found[key].shape == array.shape, key
        if array.dtype.kind == "f":
            scale = np.abs(array[np.isfinite(array)]).max(initial=0)
            assert np.allclose(found[key], array, rtol=1e-5, atol=1e-6 * scale, equal_nan=True), key
        else:
            assert np.array_equal(found[key], array), key


@pytest.mark.parametrize("name", COUNTED)
def test_batches_do_not_change_the_numbers(name):
    small, whole = run_of("probe", name, batch_tokens=16), run_of("probe", name)
    assert_same_tables(small.result, whole.result, rtol=5e-3, atol=1e-3)


PLANTED = [name for name in PROBES if hasattr(find("probe", name).recipe, "example")]


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_planted_answer_is_found_and_lost_when_shuffled(name, seed):
    recipe = _plugin(name).recipe
    planted = recipe.example(torch.Generator().manual_seed(seed))
    assert planted.at_most < planted.at_least
    assert planted.answer(recipe()) >= planted.at_least
    assert planted.answer(recipe(), shuffled=True) <= planted.at_most


def test_readouts_and_the_plain_lens_have_planted_examples():
    assert {"linear", "logit-lens", "mean-difference"} <= set(PLANTED)


@pytest.mark.parametrize("name", OF_TEXTS)
def test_one_text_without_a_label_gives_a_result_or_says_what_is_missing(name):
    spec = RunSpec(
        name=name,
        options=setup("probe", name).spec.options,
        model=ModelRef(name=f"tiny:{FAMILY}", device="cpu"),
        data=DataRef(texts=("one two three four five",)),
        resamples=10,
    )
    run = execute(spec, model=tiny_model(FAMILY))
    if name in NEED_LABELS:
        assert run.failure is not None
        assert run.failure.code != "unexpected"
        assert "label" in run.failure.message
    else:
        assert run.failure is None, run.failure
        assert run.result.summary


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in OF_TEXTS if name not in NEED_LABELS])
def test_texts_too_short_to_measure_give_a_result_or_say_what_is_missing(name):
    for texts in (("one two",), ("one one one one one",) * 3):
        spec = RunSpec(
            name=name,
            options=setup("probe", name).spec.options,
            model=ModelRef(name=f"tiny:{FAMILY}", device="cpu"),
            data=DataRef(texts=texts),
            resamples=10,
        )
        run = execute(spec, model=tiny_model(FAMILY))
        assert run.failure is None or run.failure.code not in ("unexpected", "not-finite")
