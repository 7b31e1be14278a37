"""The recipe through the one door: arms, tables with controls, resumption, what is kept."""

import pytest

from reasoning.hybrid.presets import ABLATIONS
from reasoning.train_hybrid import TrainHybrid
from workbench.errors import BadOption
from workbench.latent.trained import open_hybrid
from workbench.methods.contracts import Context
from workbench.model.loading import load_model
from workbench.model.tiny import tiny_model
from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store
from workbench.training.ablations import selected

QUICK = {
    "preset": "tiny", "seeds": 2, "arms": "grpo,hrpo,decay-only", "format_steps": 2, "steps": 2,
    "prompts": 2, "responses": 2, "new_tokens": 6, "judged": 6, "problems": 40, "rank": 2,
}  # fmt: skip


def _spec(**more) -> RunSpec:
    return RunSpec(
        kind="recipe",
        name="hybrid",
        options={**QUICK, **more},
        model=ModelRef(name="tiny:llama"),
        data=DataRef(task="sums?terms=2&largest=9"),
        resamples=40,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    run = execute(_spec(), store=store)
    assert run.failure is None, run.failure
    return run, store.checkpoint(run.run_id)


def test_every_arm_stands_beside_its_controls(trained):
    run, _ = trained
    tables = run.result.tables
    assert set(tables["accuracy"]["arm"]) == {"grpo", "hrpo", "decay-only", "start"}
    assert any(r["against"] == "start" for r in tables["paired"].rows())
    pairs = {(r["arm"], r["against"]): r for r in tables["paired"].rows()}
    assert ("hrpo", "decay-only") in pairs
    assert pairs["hrpo", "grpo"]["seeds_low"] is not None
    assert len(tables["curve"]) == 6
    by_arm = tables["curve"].frame.groupby("arm")["mean_ratio"].count()
    assert by_arm["grpo"] == 0
    assert by_arm["decay-only"] == 2
    assert all(e.n_unit == "problems" for e in run.result.estimates)
    assert any(view.title.startswith("Hidden ratio") for view in run.result.views)


def test_the_folder_is_a_checkpoint_of_its_own_model(trained):
    _, folder = trained
    model = load_model(folder / "model")
    found = open_hybrid(model, str(folder))
    assert found.manifest.options["arm"] == "hrpo"
    assert found.gate is not None
    assert open_hybrid(model).manifest.weights_hash == found.manifest.weights_hash
    assert open_hybrid(model, str(folder / "grpo-1")).gate is None


def test_an_adapter_on_a_model_and_its_reference(tmp_path):
    store = Store(tmp_path)
    spec = _spec(scratch=False, arms="hrpo", seeds=1, new_tokens=4)
    run = execute(spec, store=store, model=tiny_model("llama"))
    assert run.failure is None, run.failure
    curve = run.result.tables["curve"].rows()
    # The reference is fed tokens only, so even the first step is away from it.
    assert curve[0]["kl"] > 1e-6
    folder = store.checkpoint(run.run_id)
    assert (folder / "format" / "weights.safetensors").is_file()
    assert open_hybrid(tiny_model("llama"), str(folder)).gate is not None


def test_what_is_complete_is_not_trained_again(trained, tmp_path):
    run, folder = trained
    stamps = {p: p.stat().st_mtime_ns for p in folder.glob("*-*/judged.json")}
    assert len(stamps) == 6
    store = Store(folder.parents[1])
    recipe = TrainHybrid(**QUICK)
    context = Context(task="sums?terms=2&largest=9", resamples=40, scratch=folder)
    again = recipe.train(tiny_model("llama"), (), context)
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    assert again.tables["accuracy"].equals(run.result.tables["accuracy"])
    assert store.checkpoint(run.run_id) == folder


def test_arms_are_checked():
    with pytest.raises(BadOption, match="different ones"):
        selected("grpo,ppo", ABLATIONS)
    with pytest.raises(BadOption, match="different ones"):
        selected("grpo,grpo", ABLATIONS)
