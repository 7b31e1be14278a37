"""`workbench train`: a recipe is a command; its weights are kept, found again and removed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from app.panels.reproduce import as_command
from workbench.errors import InputError
from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store
from workbench.training.checkpoint import Checkpoint
from workbench.training.state import STATE

Invoke = Callable[..., Result]

TRAIN = ("train", "tuned-lens", "--preset", "tiny", "--steps", "6", "--start-tokens", "40")
MODEL = ("--model", "tiny:llama", "--resamples", "20")
SPEC = RunSpec(
    kind="recipe",
    name="tuned-lens",
    options={"preset": "tiny", "steps": 6, "start_tokens": 40, "save_every": 2},
    model=ModelRef(name="tiny:llama"),
    data=DataRef(texts=("the dog and the cat", "is it so , he said", "and it was the man")),
    resamples=20,
)


def test_train_lists_runs_and_removes(invoke: Invoke, store_path: Path) -> None:
    names = [row["name"] for row in json.loads(invoke("train", "list", "--json").stdout)]
    assert "tuned-lens" in names
    done = invoke(*TRAIN, *MODEL, "--json")
    run_id = json.loads(done.stdout)["run_id"]
    store = Store(store_path)
    folder = store.checkpoint(run_id)
    assert str(folder) in done.stderr
    assert Checkpoint.load(folder).manifest.recipe == "tuned-lens"
    assert "found in" in invoke(*TRAIN, *MODEL, "--json").stderr
    invoke("runs", "rm", run_id)
    assert not folder.exists()


def test_a_stopped_training_goes_on_and_ends_in_the_same_weights(tmp_path: Path) -> None:
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    wanted = execute(SPEC, store=whole)

    def stop(done: int, total: int | None, what: str) -> None:
        if (what, done) == ("steps", 4):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(SPEC, store=broken, progress=stop)
    assert broken.get(wanted.run_id).status == "interrupted"
    assert (broken.checkpoint(wanted.run_id) / STATE).is_file()
    steps: list[int] = []

    def count(done: int, total: int | None, what: str) -> None:
        steps.extend([done] if what == "steps" else [])

    again = execute(SPEC, store=broken, progress=count)
    assert steps[0] == 4
    assert again.status == "complete"
    assert _weights(broken, again.run_id) == _weights(whole, wanted.run_id)
    steps.clear()
    execute(SPEC, store=broken, progress=count, fresh=True)
    assert steps[0] == 0


def test_training_without_a_store_says_what_to_do() -> None:
    run = execute(SPEC)
    assert run.status == "failed"
    assert run.failure is not None
    assert (run.failure.code, run.failure.hint) == (InputError.code, "execute(spec, store=Store())")


def test_a_training_run_names_its_own_command() -> None:
    command = as_command(SPEC)
    assert command.startswith("workbench train tuned-lens --preset tiny")


def _weights(store: Store, run_id: str) -> dict[str, Any]:
    tensors = Checkpoint.load(store.checkpoint(run_id)).tensors
    return {name: tensor.tolist() for name, tensor in tensors.items()}
