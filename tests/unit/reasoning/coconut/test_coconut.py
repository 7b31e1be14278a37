"""The recipe and the reasoner through the one door: arms, controls, replaced thoughts."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from reasoning.coconut.thought_objective import Stage, ThoughtObjective
from workbench.errors import ModelNotFound
from workbench.latent.coconut import open_coconut
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.model.tiny import tiny_model
from workbench.runs.execute import execute
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store
from workbench.training.lines import Worked, block
from workbench.training.network import tuning

TASK = "prosqa?hops=2&classes=6&brief=yes"
ARMS = "coconut,pause,no-thought,no-curriculum"
QUICK = {"preset": "tiny", "stages": 2, "steps": 2, "writing": 2, "judged": 4, "tokens": 24}


def _train(store: Store, model: Model | None = None, **more: Any) -> Run:
    spec = RunSpec(
        kind="recipe",
        name="coconut",
        options={**QUICK, **more},
        model=ModelRef(name="tiny:llama"),
        data=DataRef(task=TASK),
        resamples=40,
    )
    run = execute(spec, store=store, model=model)
    assert run.failure is None, run.failure
    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    store = Store(tmp_path_factory.mktemp("store"))
    run = _train(store, arms=ARMS)
    return run, store.checkpoint(run.run_id)


@pytest.fixture(scope="module")
def model(trained: tuple[Run, Path]) -> Model:
    return load_model(trained[1] / "model")


def _solve(model: Model, folder: Path, limit: int = 4, **options: Any) -> Run:
    spec = RunSpec(
        kind="reasoner",
        name="coconut",
        options={"tokens": 6, "checkpoint": str(folder), **options},
        model=ModelRef(name=model.spec.name),
        data=DataRef(task=TASK, limit=limit),
        batch_tokens=4096,
    )
    return execute(spec, model=model)


def _steps(run: Run) -> Any:
    assert run.failure is None, run.failure
    assert run.result is not None
    return run.result.tables["steps"].frame


def test_every_arm_stands_beside_its_controls(trained: tuple[Run, Path]) -> None:
    run, _ = trained
    assert run.result is not None
    tables = run.result.tables
    who = set(tables["accuracy"]["who"])
    assert {"cot", "no-cot", "coconut", "pause", "no-thought", "no-curriculum"} <= who
    assert {"coconut, zero", "coconut, noise", "coconut, other"} <= who
    assert set(tables["paired"]["against"]) == who - {"coconut"}
    curve = tables["curve"].frame
    assert curve.groupby("arm")["step"].max().to_dict() == {
        "writer": 2, "coconut": 4, "pause": 4, "no-thought": 4, "no-curriculum": 4,
    }  # fmt: skip
    assert list(curve[curve["arm"] == "coconut"]["stage"]) == [1, 1, 2, 2]


def test_each_arm_is_a_checkpoint_of_the_model_beside_it(
    trained: tuple[Run, Path], model: Model
) -> None:
    folder = trained[1]
    assert open_coconut(model).manifest.options["arm"] == "coconut"
    found = open_coconut(model, str(folder / "pause"))
    assert found.inputs().is_pause
    assert found.n == 2
    assert set(found.manifest.scores) >= {"problems", "coconut", "cot"}
    assert open_coconut(model, str(folder / "no-thought")).n == 0
    with pytest.raises(ModelNotFound, match="continuous thoughts"):
        open_coconut(tiny_model("llama"))


@pytest.mark.parametrize("arm", ["coconut", "pause", "no-thought"])
def test_what_runs_is_what_was_trained(trained: tuple[Run, Path], model: Model, arm: str) -> None:
    """Written tokens have the probabilities that the training pass gives them."""
    folder = trained[1] / arm
    found = open_coconut(model, str(folder))
    run = _solve(model, folder)
    steps = _steps(run)
    weights = tuning(found.model, None, generator=torch.Generator(), suffix="again")
    stage = Stage(replaced=2, thoughts=found.n, feeds_states=not found.inputs().is_pause)
    one = Worked(question="x", sentences=("y",))
    task = ThoughtObjective(weights, found.marks, found.lines, ([one], [one]), stage)
    assert run.result is not None
    for row in run.result.tables["problems"].rows():
        chain = steps[steps["problem"] == row["problem"]]
        written = chain[chain["kind"] == "token"]
        ids = _ids(model, list(written["text"]))
        block_ids, mask = block([ids], found.lines.pad)
        states = task.states([found.lines.question(row["question"])], block_ids, mask)
        logprobs = found.model.backend.module.lm_head(states[0]).float().log_softmax(-1)
        told = logprobs[torch.arange(len(ids)), torch.tensor(ids)].detach()
        expected = torch.tensor(list(written["logprob"]))
        torch.testing.assert_close(told, expected, atol=1e-4, rtol=1e-4)


def _ids(model: Model, texts: list[str]) -> list[int]:
    vocabulary = {model.decode([i]): i for i in range(model.spec.d_vocab)}
    return [vocabulary[text] for text in texts]


def test_thoughts_are_fed_and_never_written(trained: tuple[Run, Path], model: Model) -> None:
    run = _solve(model, trained[1] / "coconut", vectors=True)
    steps = _steps(run)
    first = steps[steps["problem"] == steps["problem"].iloc[0]]
    assert list(first["fed"])[:4] == ["vector"] * 4
    assert set(list(first["fed"])[4:]) == {"text"}
    assert run.result is not None
    response = run.result.tables["problems"]["response"].iloc[0]
    assert "".join(list(first["text"])[4:]).startswith(response)


def test_a_row_does_not_depend_on_its_batch(trained: tuple[Run, Path], model: Model) -> None:
    folder = trained[1] / "coconut"
    for fed in ("state", "zero", "noise"):
        together, alone = (_steps(_solve(model, folder, limit=n, fed=fed)) for n in (4, 1))
        mine = together[together["problem"] == alone["problem"].iloc[0]]
        assert list(mine["text"]) == list(alone["text"])


def test_replaced_thoughts(trained: tuple[Run, Path], model: Model) -> None:
    folder = trained[1] / "coconut"
    plain = _steps(_solve(model, folder))
    for fed in ("zero", "noise", "other"):
        changed = _steps(_solve(model, folder, fed=fed))
        assert not plain["logprob"].equals(changed["logprob"])
        never = _steps(_solve(model, folder, fed=fed, only=999))
        assert plain["logprob"].equals(never["logprob"])


def test_another_problem_is_needed_to_exchange_thoughts(
    trained: tuple[Run, Path], model: Model
) -> None:
    run = _solve(model, trained[1] / "coconut", limit=1, fed="other")
    assert run.failure is not None
    assert "two or more" in str(run.failure)


def test_an_adapter_on_a_model(model: Model, tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = _train(store, model, scratch=False, rank=2, arms="coconut")
    folder = store.checkpoint(run.run_id)
    assert not (folder / "model").exists()
    assert open_coconut(model, str(folder / "coconut")).n == 2


def test_resuming_repeats_the_curve(trained: tuple[Run, Path], tmp_path: Path) -> None:
    """Killed after its first stage, a run goes on to the same curve."""
    run, folder = trained
    store = Store(tmp_path)
    for name in ("state-writer", "state-coconut-1"):
        shutil.copytree(folder / name, store.checkpoint(run.run_id) / name)
    again = _train(store, arms=ARMS)
    assert again.run_id == run.run_id
    losses = [r.result.tables["curve"]["loss"].tolist() for r in (run, again) if r.result]
    assert losses[0] == losses[1]
