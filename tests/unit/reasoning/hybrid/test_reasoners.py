"""The reasoners in latent inputs, through the door that every front end uses."""

from pathlib import Path

import pytest

from reasoning.hybrid.ablation_run import AblationSeed, HybridOptions, run_ablation
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.progress import silent
from workbench.runs.execute import execute
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, ModelRef, RunSpec

TASK = "sums?terms=2&largest=9"


def _run(name: str, model: Model, limit: int = 6, batch_tokens: int = 64, **options) -> Run:
    spec = RunSpec(
        kind="reasoner",
        name=name,
        options=options,
        model=ModelRef(name=model.spec.name),
        data=DataRef(task=TASK, limit=limit),
        batch_tokens=batch_tokens,
    )
    run = execute(spec, model=model)
    assert run.failure is None, run.failure
    return run


def _responses(run: Run) -> list[str]:
    assert run.result is not None
    return list(run.result.tables["problems"]["response"])


@pytest.fixture(scope="module")
def checkpoint(shared: HybridOptions, network: Model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("arms")
    for arm in ("hrpo", "grpo"):
        run_ablation(
            AblationSeed(ablation=arm, seed=0), shared, (network, None), (folder, False), silent
        )
    return folder


@pytest.mark.parametrize("name", ["soft-thinking", "moi", "hidden-feedback"])
def test_methods_without_training(network, name):
    run = _run(name, network, tokens=12)
    steps = run.result.tables["steps"]
    assert {"latent"} <= set(steps["kind"])
    assert (steps["entropy"] >= 0).all()
    assert _responses(run) == _responses(_run(name, network, tokens=12, batch_tokens=4))


def test_one_soft_token_is_a_plain_chain(network):
    soft = _run("soft-thinking", network, tokens=12, n=1)
    assert _responses(soft) == _responses(_run("cot", network, tokens=12))


def test_a_closed_gate_is_a_plain_chain_by_the_same_weights(network, checkpoint):
    where = {"tokens": 12, "checkpoint": str(checkpoint / "hrpo-0")}
    closed = _run("hrpo", network, gate=1.0, **where)
    opened = _run("hrpo", network, gate=0.0, **where)
    assert _responses(closed) != _responses(opened)
    latent = opened.result.tables["steps"]
    assert set(latent["fed"]) <= {"mixture", "text"}
    assert "mixture" in set(latent["fed"])


def test_an_arm_without_a_gate_feeds_tokens(network, checkpoint):
    run = _run("hrpo", network, tokens=12, checkpoint=str(checkpoint / "grpo-0"))
    assert set(run.result.tables["steps"]["fed"]) == {"text"}
    spec = RunSpec(
        kind="reasoner",
        name="hrpo",
        options={"gate": 1.0, "checkpoint": str(checkpoint / "grpo-0")},
        model=ModelRef(name="x"),
        data=DataRef(task=TASK, limit=2),
    )
    failed = execute(spec, model=network)
    assert failed.failure is not None
    assert "without one" in failed.failure.message


def test_without_a_checkpoint_it_says_what_to_do():
    spec = RunSpec(
        kind="reasoner",
        name="hrpo",
        model=ModelRef(name="tiny:llama"),
        data=DataRef(task=TASK, limit=2),
    )
    failed = execute(spec, model=load_model("tiny:llama"))
    assert failed.failure is not None
    assert "no trained gate" in failed.failure.message
