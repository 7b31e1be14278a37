"""One suite over every registered probe, ours and a stranger's.

A new probe is tested by being registered. What it may add here: quick options, if its defaults
take long on a tiny model, and a way to prepare it, if it cannot run without trained weights.
"""

import dataclasses
import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from probes.train_tuned_lens import TrainTunedLens
from workbench.methods.contracts import Context, Example, Measure, ReadoutProbe, Study
from workbench.methods.per_unit import PerUnit
from workbench.methods.registry import failures, find, plugins
from workbench.model.tiny import FAMILIES, tiny_model
from workbench.options import build, describe, plain
from workbench.result.views import view_from_dict, view_to_dict
from workbench.runs.counting import start
from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store
from workbench.training.adapter import Adapter, LoraShape
from workbench.training.checkpoint import Checkpoint, Manifest

PROBES = [plugin.name for plugin in plugins("probe")]
SHAPES = {"per unit": PerUnit, "measure": Measure, "readout": ReadoutProbe, "study": Study}
# A study runs the model itself; the others are handed what was read.
COUNTED = [name for name in PROBES if not isinstance(find("probe", name).recipe(), Study)]
OF_A_TASK = [name for name in PROBES if getattr(find("probe", name).recipe, "default_task", "")]
OF_TEXTS = [name for name in PROBES if name not in OF_A_TASK]
NEED_LABELS = {found.name for found in plugins("probe") if found.takes == "labelled texts"}
FAMILY = "llama"

QUICK = {
    "decoders": {"new_tokens": 4},
    "critical-tokens": {"draws": 8, "samples": 4, "new_tokens": 6},
    "hybrid-trace": {"untrained": True, "tokens": 8},
    # One site: the mean difference, which costs a tenth, is read at every one of them.
    "linear": {"at": ["resid_post.1[-1]"], "regularisation": 1.0},
    "sentence-lens": {"sentences": 4, "limit": 5},
    "contrastive-estimate": {"draws": 8, "samples": 4, "new_tokens": 6, "top_p": 1.0},
}
# How many texts are enough where every text costs many generations.
TEXTS = {"hybrid-trace": 4}


def _examples(n=24):
    """Short texts of many lengths; every two of them form a group, labels alternate."""
    model = tiny_model(FAMILY)
    generator = torch.Generator().manual_seed(7)
    rows = []
    for i in range(n):
        ids = torch.randint(4, 60, (6 + i % 7,), generator=generator).tolist()
        label = "first" if i % 4 < 2 else "second"
        text = model.decode(ids)
        rows.append(
            Example(text=text, label=label, group=f"g{i // 2}", source=f"rows.jsonl:{i}", number=i)
        )
    return rows


@cache
def _prepared(name, folder):
    """Options that let the probe run on the tiny model."""
    options = dict(QUICK.get(name, {}))
    if name == "tuned-lens":
        target = Path(folder) / "lens"
        TrainTunedLens(preset="tiny", steps=2, start_tokens=0).train(
            tiny_model(FAMILY), _examples(), context=Context(scratch=target, resume=False)
        )
        options["checkpoint"] = str(target)
    if name == "sentence-lens":
        from reasoning.train_sentence_codec import TrainSentenceCodec

        target = Path(folder) / "codec"
        TrainSentenceCodec(preset="tiny", steps=2, tasks=("prosqa?classes=6&hops=2",)).train(
            tiny_model(FAMILY), [], context=Context(scratch=target, resume=False, resamples=20)
        )
        options["codec"] = str(target)
    if name == "contrastive-estimate":
        options["estimate"] = _contrast(Path(folder) / "contrast")
    return options


def _contrast(folder):
    """Two random adapters as a contrastive estimate; returns their folder."""
    model, shape = tiny_model(FAMILY), LoraShape(rank=2)
    tensors = {}
    for i, side in enumerate(("positive", "negative")):
        generator = torch.Generator().manual_seed(i)
        adapter = Adapter(model, shape, generator=generator, suffix=side)
        for parameter in adapter.parameters().values():
            parameter.data.normal_(generator=generator, std=0.3)
        tensors |= adapter.tensors(f"{side}.")
    manifest = Manifest(
        recipe="contrastive-estimate",
        options={"adapter": shape.as_dict()},
        base_model=model.spec.name,
        base_hash=model.spec.weights_hash,
        seed=0,
        data_hash="",
    )
    Checkpoint(manifest=manifest, tensors=tensors).save(folder)
    return str(folder)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("probes")
    lines = [json.dumps(dataclasses.asdict(e)) for e in _examples()]
    (path / "rows.jsonl").write_text("\n".join(lines))
    return str(path)


@cache
def _run(name, folder, repeat=0, seed=0, batch_tokens=2048):
    recipe = find("probe", name).recipe
    path = str(Path(folder) / "rows.jsonl")
    task = getattr(recipe, "default_task", "")
    spec = RunSpec(
        name=name,
        options=_prepared(name, folder),
        model=ModelRef(name=f"tiny:{FAMILY}", device="cpu"),
        data=DataRef(task=task, limit=2)
        if task
        else DataRef(path=path, label="label", group="group", limit=TEXTS.get(name)),
        seed=seed,
        resamples=40,
        batch_tokens=batch_tokens,
    )
    store = Store(Path(folder) / f"store-{name}-{repeat}")
    return execute(spec, store=store, model=tiny_model(FAMILY)), store


def _result(name, folder, **variation):
    run, _ = _run(name, folder, **variation)
    assert run.failure is None, run.failure
    return run.result


def _plugin(name):
    return find("probe", name)


def test_every_plugin_module_loads():
    assert failures() == ()
    assert {"linear", "logit-lens", "mean-difference", "tuned-lens", "isotropy"} <= set(PROBES)


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_is_a_frozen_recipe(name):
    recipe = _plugin(name).recipe
    made = recipe()
    assert dataclasses.is_dataclass(made)
    assert recipe.__dataclass_params__.frozen
    assert made == recipe()
    with pytest.raises(TypeError):
        recipe(*range(1, len(dataclasses.fields(recipe)) + 2))


@pytest.mark.parametrize("name", PROBES)
def test_it_has_one_shape(name):
    made = _plugin(name).recipe()
    shapes = [shape for shape, protocol in SHAPES.items() if isinstance(made, protocol)]
    assert len(shapes) == 1, shapes


@pytest.mark.parametrize("name", PROBES)
def test_options_explain_themselves_and_round_trip(name):
    recipe = _plugin(name).recipe
    infos = describe(recipe)
    assert {info.name for info in infos} == {f.name for f in dataclasses.fields(recipe)}
    for info in infos:
        assert info.help.endswith("."), info.name
        assert len(info.help) <= 100, info.name
    values = plain(recipe())
    assert json.loads(json.dumps(values)) == values
    assert build(recipe, values) == recipe()


@pytest.mark.parametrize("name", PROBES)
def test_the_docstring_tells_source_and_units(name):
    plugin = _plugin(name)
    assert plugin.summary.endswith(".")
    assert len(plugin.summary) <= 100
    assert "Units:" in plugin.description
    assert plugin.source
    assert "Raises:" not in plugin.summary


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", COUNTED)
def test_its_sites_exist_on_every_model(name, family):
    model = tiny_model(family)
    sites = _plugin(name).recipe().sites(model.spec)
    assert sites
    assert model.sites(sites) == tuple(dict.fromkeys(sites)), "sites come resolved"
    trace = model.run("one two three four", read=sites)
    for site in sites:
        assert torch.isfinite(trace[site]).all()


@pytest.mark.parametrize("name", PROBES)
def test_the_same_seed_gives_the_same_numbers(name, folder):
    first, again = _result(name, folder), _result(name, folder, repeat=1)
    assert first is not again
    _assert_same_tables(first, again, rtol=0, atol=0)
    timed = {e.name for e in first.estimates if _is_clock(e.name, e.unit)}
    for one, other in zip(first.estimates, again.estimates, strict=True):
        assert one == other or one.name in timed
    assert first.arrays.keys() == again.arrays.keys()
    for key, array in first.arrays.items():
        assert np.array_equal(array, again.arrays[key]), key


@pytest.mark.parametrize("name", PROBES)
def test_numbers_are_finite_and_carry_their_unit(name, folder):
    result = _result(name, folder)
    assert result.summary
    assert result.estimates
    for estimate in result.estimates:
        assert estimate.n >= 1, estimate.name
        assert estimate.n_unit != "tokens", estimate.name
        assert estimate.value is not None or estimate.note, estimate.name
        if estimate.low is not None and estimate.high is not None:
            assert estimate.low <= estimate.high, estimate.name
    assert len({e.name for e in result.estimates}) == len(result.estimates)
    for title, table in result.tables.items():
        numbers = table.frame.select_dtypes("number")
        assert not np.isinf(numbers.to_numpy(dtype=np.float64, na_value=np.nan)).any(), title
    for title, array in result.arrays.items():
        assert array.dtype.kind != "f" or np.isfinite(array).all(), title


@pytest.mark.parametrize("name", PROBES)
def test_a_control_stands_beside_the_numbers(name, folder):
    result = _result(name, folder)
    in_estimates = any(e.control is not None for e in result.estimates)
    in_views = any(getattr(view, "control", ()) for view in result.views)
    assert in_estimates or in_views


@pytest.mark.parametrize("name", PROBES)
def test_views_name_what_the_result_holds(name, folder):
    result = _result(name, folder)
    assert result.views
    for view in result.views:
        assert view_from_dict(json.loads(json.dumps(view_to_dict(view)))) == view
        named = view_to_dict(view)
        table = result.tables.get(named.get("table", ""))
        if table is None:
            assert type(view).__name__ == "GraphView" or named["table"] in result.arrays
            continue
        for role in ("x", "y", "row", "column", "value", "token", "group", "control", "label"):
            for column in (
                [named[role]] if isinstance(named.get(role), str) else named.get(role, ())
            ):
                assert not column or column in table.frame, (view.title, role, column)


@pytest.mark.parametrize("name", PROBES)
def test_every_column_is_described(name, folder):
    for title, table in _result(name, folder).tables.items():
        known = set(table.columns)
        known |= {bound for c in table.columns.values() for bound in (c.low, c.high)}
        for column in table.frame.select_dtypes("float"):
            assert column in known, (title, column)


@pytest.mark.parametrize("name", PROBES)
def test_a_stored_result_comes_back_the_same(name, folder):
    run, store = _run(name, folder)
    found = store.get(run.run_id)
    assert found.result is not run.result
    assert found.result.equals(run.result)
    json.dumps(run.as_dict(), allow_nan=False)


@pytest.mark.parametrize("name", COUNTED)
def test_tallies_merge_and_restore(name, folder):
    recipe = build(_plugin(name).recipe, _prepared(name, folder))
    model = tiny_model(FAMILY)
    context = Context.of(model, resamples=20, seed=1)
    examples = _examples()
    batches = [examples[i : i + 6] for i in range(0, 24, 6)]
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
        _assert_same_tables(one.result(context), expected)


def _assert_close(found, expected):
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        assert found[key].shape == array.shape, key
        if array.dtype.kind == "f":
            scale = np.abs(array[np.isfinite(array)]).max(initial=0)
            assert np.allclose(found[key], array, rtol=1e-5, atol=1e-6 * scale, equal_nan=True), key
        else:
            assert np.array_equal(found[key], array), key


def _assert_same_tables(found, expected, **tolerance):
    assert found.tables.keys() == expected.tables.keys()
    for title, table in expected.tables.items():
        kept = [
            column
            for column in table.frame
            if not _is_clock(column, table.columns[column].unit if column in table.columns else "")
        ]
        pd.testing.assert_frame_equal(
            found.tables[title].frame[kept],
            table.frame[kept],
            obj=title,
            **(tolerance or {"rtol": 1e-5}),
        )


def _is_clock(name, unit):
    """Whether a number is a duration, which no seed decides."""
    return "second" in name or "second" in unit or unit in ("s", "ms")


@pytest.mark.parametrize("name", COUNTED)
def test_batches_do_not_change_the_numbers(name, folder):
    _assert_same_tables(
        _result(name, folder, repeat=2, batch_tokens=16),
        _result(name, folder),
        rtol=5e-3,
        atol=1e-3,
    )


PLANTED = [name for name in PROBES if hasattr(find("probe", name).recipe, "example")]


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_planted_answer_is_found_and_lost_when_shuffled(name, seed):
    recipe = _plugin(name).recipe
    planted = recipe.example(torch.Generator().manual_seed(seed))
    assert planted.at_most < planted.at_least
    assert planted.answer(recipe()) >= planted.at_least
    assert planted.answer(recipe(), shuffled=True) <= planted.at_most


def test_readouts_and_the_plain_lens_have_planted_examples():
    assert {"linear", "logit-lens", "mean-difference"} <= set(PLANTED)


@pytest.mark.parametrize("name", OF_TEXTS)
def test_one_text_without_a_label_gives_a_result_or_says_what_is_missing(name, folder):
    spec = RunSpec(
        name=name,
        options=_prepared(name, folder),
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
