"""The one door: whatever happens behind it, what was done is kept and said."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.unit.runs.breaking_probes import ERRORS, Counting, Stopping
from workbench.errors import (
    BadOption,
    DataError,
    InputError,
    NotStored,
    StoreError,
    UnknownName,
)
from workbench.methods import registry
from workbench.model.model import Model
from workbench.runs.execute import execute
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store

TINY = ModelRef(name="tiny:llama")
TEXTS = ("the dog", "a cat", "the dog and the cat of the dog", "is it so ?")


@pytest.fixture(autouse=True)
def probes() -> Iterator[None]:
    registry.load_plugins()
    known = dict(registry._plugins)
    registry.probe("counting")(Counting)
    registry.probe("stopping")(Stopping)
    yield
    registry._plugins.clear()
    registry._plugins.update(known)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


Runner = Callable[..., Run]


@pytest.fixture
def run(store: Store, tiny_llama: Model) -> Runner:
    def go(name: str = "counting", *, fresh: bool = False, **spec: Any) -> Run:
        values: dict[str, Any] = {"data": DataRef(texts=TEXTS), "batch_tokens": 8, **spec}
        asked = RunSpec(name=name, model=TINY, **values)
        return execute(asked, store=store, model=tiny_llama, fresh=fresh)

    return go


def test_a_complete_run_is_stored_and_found_again(run: Runner, store: Store) -> None:
    done = run()
    assert (done.status, done.failure) == ("complete", None)
    assert done.provenance["model"]["name"] == "tiny:llama"
    again = run()
    assert again.as_dict() == done.as_dict()
    assert run(fresh=True).provenance["started"] >= done.provenance["started"]
    assert len(store.find()) == 1


def test_the_numbers_do_not_depend_on_the_batches(run: Runner) -> None:
    totals = [run(batch_tokens=size).result.tables["counts"]["total"][0] for size in (1, 8, 512)]
    assert totals == pytest.approx([totals[0]] * 3, rel=1e-5)


def test_every_option_is_written_out_in_the_stored_spec(run: Runner) -> None:
    assert run().spec.options == {"layer": -1, "breaks": "", "after": 0}


def test_bad_rows_make_a_partial_run(run: Runner, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "the dog"}\n{"text": 3}\nnot json\n{"text": "a cat"}\n')
    done = run(data=DataRef(path=str(path)))
    assert done.status == "partial"
    assert done.result is not None
    assert list(done.result.tables["bad_rows"]["source"]) == ["rows.jsonl:2", "rows.jsonl:3"]
    assert done.result.summary == "2 texts"
    assert any(note.code == "bad-rows" for note in done.result.notes)


def test_bad_rows_that_are_not_unicode_can_be_stored(run: Runner, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "the dog"}\n{"\\ud800": "x"}\n')
    done = run(data=DataRef(path=str(path)))
    assert done.status == "partial"


def test_cut_texts_are_noted(run: Runner) -> None:
    notes = run(max_tokens=2).result.notes
    assert any(note.text.endswith("texts were cut to 2 tokens") for note in notes)
    long = run(data=DataRef(texts=("the " * 1000,)))
    assert "1 texts were cut to 256 tokens" in [note.text for note in long.result.notes]


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ({"name": "countin"}, UnknownName),
        ({"options": {"layr": 1}}, BadOption),
        ({"options": {"layer": "first"}}, BadOption),
        ({"data": DataRef(path="missing.jsonl")}, DataError),
        ({"data": DataRef(texts=("",))}, DataError),
        ({"data": DataRef(texts=("a",), task="sums")}, InputError),
        ({"name": "stopping", "data": DataRef(activations=__file__)}, InputError),
    ],
)
def test_what_never_could_run_is_refused_and_not_stored(
    run: Runner, store: Store, spec: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        run(**spec)
    assert len(store.find()) == 0


def test_known_errors_are_stored_with_their_hint(run: Runner, store: Store) -> None:
    done = run(options={"breaks": "known"})
    assert done.status == "failed"
    assert done.failure is not None
    assert (done.failure.code, done.failure.hint) == ("fit", "more data")
    assert store.get(done.run_id).failure == done.failure


def test_a_layer_that_does_not_exist_fails_the_run(run: Runner) -> None:
    done = run(options={"layer": 99})
    assert done.failure is not None
    assert done.failure.code == "bad-site"
    assert "layers 0 to 2" in done.failure.message


def test_unknown_errors_are_stored_and_passed_on(run: Runner, store: Store) -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        run(options={"breaks": "unknown"})
    kept = store.get("counting")
    assert kept.failure is not None
    assert (kept.status, kept.failure.message) == ("failed", "RuntimeError: a bug")


def test_ctrl_c_keeps_what_was_counted(run: Runner, store: Store) -> None:
    with pytest.raises(KeyboardInterrupt) as stop:
        run(options={"breaks": "stop", "after": 2})
    kept = store.get("counting")
    assert kept.status == "interrupted"
    assert kept.result is not None
    n = kept.result.tables["counts"]["n"][0]
    assert n >= 2
    assert f"stopped after {n} of 4 texts" in [note.text for note in kept.result.notes]
    assert kept.run_id in "".join(stop.value.__notes__)


def test_ctrl_c_before_anything_keeps_that_it_was_tried(run: Runner, store: Store) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(options={"breaks": "stop"})
    assert store.get("counting").result is None


def test_an_interrupted_run_starts_again(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(options={"breaks": "stop", "after": 2})
    monkeypatch.delitem(ERRORS, "stop")
    assert run(options={"breaks": "stop", "after": 2}).status == "complete"


@pytest.mark.parametrize("error", sorted(ERRORS))
def test_a_finished_run_is_never_replaced_by_an_unfinished_one(
    run: Runner, store: Store, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    found = ERRORS[error]
    monkeypatch.delitem(ERRORS, error)
    done = run(options={"breaks": error, "after": 2})
    monkeypatch.setitem(ERRORS, error, found)
    with suppress(KeyboardInterrupt, RuntimeError):
        run(options={"breaks": error, "after": 2}, fresh=True)
    assert store.get(done.run_id).as_dict() == done.as_dict()


def test_a_stopped_study_keeps_its_part_and_its_scratch(run: Runner, store: Store) -> None:
    with pytest.raises(KeyboardInterrupt):
        run("stopping")
    kept = store.get("stopping")
    assert kept.result is not None
    assert (kept.status, kept.result.summary) == ("interrupted", "half")
    assert (store.scratch(kept.run_id) / "kept.txt").read_text() == "half"


def test_a_run_that_cannot_be_stored_is_handed_over(
    run: Runner, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Store, run: Run) -> Path:
        raise StoreError("cannot write: No space left on device", hint="free some space")

    monkeypatch.setattr(Store, "put", full)
    with pytest.raises(NotStored, match="No space left") as error:
        run()
    assert error.value.run.result.summary == "4 texts"
    assert error.value.hint == "free some space"


def test_a_corrupt_run_is_done_again(run: Runner, store: Store) -> None:
    done = run()
    (store.path(done.run_id) / "run.json").write_text("{}")
    assert run().status == "complete"
    assert store.get(done.run_id).status == "complete"


def test_without_a_store_nothing_is_written(tiny_llama: Model, tmp_path: Path) -> None:
    spec = RunSpec(name="counting", model=TINY, data=DataRef(texts=TEXTS))
    assert execute(spec, model=tiny_llama).status == "complete"
    assert list(tmp_path.iterdir()) == []


def test_a_spec_without_a_model_says_so(store: Store) -> None:
    spec = RunSpec(name="counting", model=None, data=DataRef(texts=TEXTS))
    done = execute(spec, store=store)
    assert done.failure is not None
    assert "needs a model" in done.failure.message


def test_the_model_of_the_spec_is_loaded_once(store: Store, monkeypatch: Any) -> None:
    from workbench.runs import models

    loads: list[str] = []
    load = models.load_model
    monkeypatch.setattr(
        models, "load_model", lambda name, **k: loads.append(name) or load(name, **k)
    )
    monkeypatch.setattr(models, "_models", type(models._models)())
    spec = RunSpec(name="counting", model=TINY, data=DataRef(texts=TEXTS))
    for seed in range(3):
        assert execute(replace(spec, seed=seed), store=store).status == "complete"
    assert loads == ["tiny:llama"]


def test_rows_from_standard_input_are_told_apart_by_all_they_hold(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io
    import sys

    ids = []
    for line in (b'{"text": "a", "y": 1}', b'{"text": "a", "y": 2}', b'{"text": "a", "y": 1}'):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line)))
        ids.append(run(data=DataRef(path="-", label="y")).run_id)
    assert ids[0] == ids[2] != ids[1]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_activations_that_are_not_finite_fail_the_run(
    store: Store, tmp_path: Path, value: float
) -> None:
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    x[7, 2] = value
    save_file({"x": x}, tmp_path / "a.safetensors")
    data = DataRef(activations=str(tmp_path / "a.safetensors"))
    done = execute(RunSpec(name="isotropy", data=data, resamples=10), store=store)
    assert done.status == "failed"
    assert done.failure is not None
    assert done.failure.code == "not-finite"
