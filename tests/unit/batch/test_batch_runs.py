"""A plan carried out: the same numbers as single runs, rows named, folders guarded."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.batch.conftest import PROBES, MakePlan, everything, write_rows
from workbench import activations
from workbench.batch.folder import locked
from workbench.batch.forecast import forecast
from workbench.batch.run import Local, run_batch
from workbench.batch.session import Reporter
from workbench.batch.work import ShardWork
from workbench.errors import CorruptRun, InputError, RunNotFound, StoreError, UnknownName
from workbench.model.model import Model
from workbench.runs.execute import execute
from workbench.runs.store import Store


def test_a_batch_gives_what_single_runs_give(
    make_plan: MakePlan, store: Store, model: Model, tmp_path: Path
) -> None:
    plan = make_plan(probes=PROBES)
    done = run_batch(plan, store=store, model=model)
    assert [run.status for run in done.runs] == ["complete"] * 3
    alone = Store(tmp_path / "alone")
    for run, spec in zip(done.runs, plan.specs, strict=True):
        single = execute(spec, store=alone, model=model)
        assert single.run_id == run.run_id
        assert run.result is not None
        assert single.result is not None
        for ours, theirs in zip(run.result.estimates, single.result.estimates, strict=True):
            assert ours.name == theirs.name
            if theirs.value is None:
                assert ours.value is None
            else:
                np.testing.assert_allclose(ours.value, theirs.value, rtol=1e-4, atol=1e-5)
        assert store.get(run.run_id).provenance["batch"]["name"] == "nightly"


def test_one_pass_serves_all_probes_and_asks_for_no_logits(
    make_plan: MakePlan, store: Store, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[str] = []
    n_rows = 0
    forward = model.backend.forward

    def counted(inputs: Any, **rest: Any) -> Any:
        nonlocal n_rows
        wanted.append(rest["logits"])
        n_rows += len(inputs.mask)
        return forward(inputs, **rest)

    monkeypatch.setattr(model.backend, "forward", counted)
    run_batch(make_plan(), store=store, model=model)
    assert n_rows == 40
    assert set(wanted) == {"none"}


def test_bad_rows_are_named_and_no_good_row_is_lost(
    make_plan: MakePlan, store: Store, model: Model, rows: Path
) -> None:
    good = rows.read_text().splitlines()
    bad = ['{"text": 3, "kind": "odd"}', "{", '{"text": "a dog"}', "[1]"]
    lines = [*good[:10], bad[0], *good[10:25], bad[1], bad[2], *good[25:], bad[3]]
    rows.write_text("\n".join(lines) + "\n")
    done = run_batch(make_plan(), store=store, model=model)
    assert sum(m.n_good for m in done.manifests) == 40
    named = [
        json.loads(line) for line in (done.folder / "quarantine.jsonl").read_text().splitlines()
    ]
    assert [row["source"] for row in named] == [f"rows.jsonl:{n}" for n in (11, 27, 28, 44)]
    assert all(row["reason"] for row in named)
    assert {run.status for run in done.runs} == {"partial"}


def test_a_row_too_short_for_a_site_is_named(
    make_plan: MakePlan, store: Store, model: Model, rows: Path
) -> None:
    rows.write_text('{"text": "dog", "kind": "odd"}\n' + rows.read_text())
    done = run_batch(make_plan(keep={"sites": ["resid_post.0[1]"]}), store=store, model=model)
    (named,) = (
        json.loads(line) for line in (done.folder / "quarantine.jsonl").read_text().splitlines()
    )
    assert named["source"] == "rows.jsonl:1"
    assert "reads position 1" in named["reason"]


def test_a_row_whose_activation_is_not_finite_is_named(
    make_plan: MakePlan, store: Store, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, run = make_plan(), type(model).run
    poisoned = model.tokenize("two two dog").row(0)

    def broken(self: Model, tokens: Any, **rest: Any) -> Any:
        trace = run(self, tokens, **rest)
        for i in range(len(tokens.ids)):
            if tokens.row(i) == poisoned:
                for x in trace.activations.values():
                    x[i] = torch.nan
        return trace

    path = Path(plan.data.path)
    path.write_text(path.read_text() + '{"text": "two two dog", "kind": "odd"}\n')
    monkeypatch.setattr(type(model), "run", broken)
    done = run_batch(plan, store=store, model=model)
    assert sum(m.n_good for m in done.manifests) == 40
    assert "NaN" in (done.folder / "quarantine.jsonl").read_text()


def test_memory_that_runs_out_halves_the_batch(
    make_plan: MakePlan, store: Store, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = type(model).run

    def small(self: Model, tokens: Any, **rest: Any) -> Any:
        if tokens.ids.numel() > 40:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(self, tokens, **rest)

    monkeypatch.setattr(type(model), "run", small)
    done = run_batch(make_plan(), store=store, model=model)
    assert {m.batch_tokens for m in done.manifests} == {32}
    assert sum(m.n_good for m in done.manifests) == 40


def test_another_error_of_the_model_is_no_lack_of_memory(
    make_plan: MakePlan, store: Store, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Model, tokens: Any, **rest: Any) -> Any:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(type(model), "run", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        run_batch(make_plan(), store=store, model=model)


@pytest.mark.parametrize("ahead", [False, True])
def test_a_full_disk_stops_cleanly_and_resume_goes_on(
    make_plan: MakePlan,
    store: Store,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    ahead: bool,
) -> None:
    plan, clean = make_plan(), Store(tmp_path / "clean")
    run_batch(plan, store=clean, model=model)
    from workbench.batch import work

    save, calls = work.save_arrays, 0

    def full(path: Path, arrays: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise OSError(28, "No space left on device")
        save(path, arrays)

    monkeypatch.setattr(work, "save_arrays", full)
    with pytest.raises(StoreError, match="No space left") as stopped:
        run_batch(plan, store=store, model=model, executor=Local(ahead=ahead))
    assert "--resume" in stopped.value.hint
    folder = store.folder / "batches" / plan.name
    assert sorted(p.name for p in (folder / "shards").iterdir()) == ["000000", "000001"]
    monkeypatch.setattr(work, "save_arrays", save)
    assert run_batch(plan, store=store, model=model, resume=True).n_computed == 3
    assert everything(store, plan) == everything(clean, plan)


def test_two_runs_cannot_write_one_folder(make_plan: MakePlan, store: Store, model: Model) -> None:
    with (
        locked(store.folder / "batches" / "nightly"),
        pytest.raises(StoreError, match="another process"),
    ):
        run_batch(make_plan(), store=store, model=model)


def test_work_that_is_there_is_never_overwritten(
    make_plan: MakePlan, store: Store, model: Model
) -> None:
    plan = make_plan()
    run_batch(plan, store=store, model=model)
    with pytest.raises(InputError, match="holds this batch already"):
        run_batch(plan, store=store, model=model)
    with pytest.raises(InputError, match="another plan: shard_rows differ"):
        run_batch(replace(plan, shard_rows=4), store=store, model=model, resume=True)
    before = everything(store, plan)
    done = run_batch(plan, store=store, model=model, resume=True)
    assert (done.n_computed, done.damaged) == (0, ())
    assert everything(store, plan) == before


def test_shards_of_another_model_are_not_mixed(
    make_plan: MakePlan, store: Store, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan()
    done = run_batch(plan, store=store, model=model)
    (done.folder / "shards" / "000003" / "manifest.json").unlink()
    monkeypatch.setattr(ShardWork, "identity", "other weights")
    with pytest.raises(InputError, match="was begun with the model"):
        run_batch(plan, store=store, model=model, resume=True)


def test_kept_activations_are_those_of_the_model(
    make_plan: MakePlan, store: Store, model: Model, rows: Path
) -> None:
    keep = {"sites": ["resid_post.:1[-1]", "resid_post.1"], "dtype": "float32"}
    run_batch(make_plan(keep=keep), store=store, model=model)
    kept = activations.open("nightly", store=store)
    texts = [json.loads(line)["text"] for line in rows.read_text().splitlines()]
    assert list(kept.index["row"]) == list(range(40))
    assert set(kept) == {"resid_post.0[-1]", "resid_post.1"}
    assert len(kept) == 2
    assert len(kept["resid_post.1"]) == 40
    for i in (0, 7, 8, 39, -1):
        trace = model.run(texts[i], read=["resid_post.0[-1]", "resid_post.1"])
        for site in kept:
            torch.testing.assert_close(kept[site][i], trace.row(0, site), rtol=1e-4, atol=1e-5)
    assert sum(len(x) for x in kept["resid_post.1"]) == kept.index["n_tokens"].sum()
    with pytest.raises(UnknownName, match="was not kept"):
        kept["resid_post.0"]
    with pytest.raises(IndexError):
        kept["resid_post.1"][40]


def test_activations_are_found_by_run_and_refused_without(
    make_plan: MakePlan, store: Store, model: Model
) -> None:
    done = run_batch(make_plan(), store=store, model=model)
    assert activations.open(done.runs[0], store=store).folder == done.folder
    assert activations.open(done.runs[0].run_id, store=store).folder == done.folder
    assert activations.open(done.folder).folder == done.folder
    (done.folder / "shards" / "000001" / "activations.safetensors").unlink()
    with pytest.raises(CorruptRun, match="000001"):
        activations.open(done.folder)["resid_post.1"][9]
    bare = run_batch(make_plan(name="bare", keep={}), store=store, model=model)
    with pytest.raises(RunNotFound, match="no activations"):
        activations.open(bare.folder)


def test_the_dry_run_counts_rows_and_foretells_tokens(
    make_plan: MakePlan, store: Store, model: Model, rows: Path
) -> None:
    write_rows(rows, 100)
    rows.write_text(rows.read_text() + "{\n")
    plan = make_plan()
    found = forecast(plan, model=model)
    assert (found["rows"], found["bad_rows"], found["shards"]) == (101, 1, 13)
    done = run_batch(plan, store=store, model=model)
    tokens = sum(m.n_tokens for m in done.manifests)
    assert found["tokens"] == pytest.approx(tokens, rel=0.15)
    shards = done.folder / "shards"
    disk = sum(p.stat().st_size for p in shards.rglob("*") if p.is_file()) / 1e6
    assert 0.9 * disk <= found["disk_mb"] + 0.05 <= 2 * disk


def test_the_pace_is_told_after_every_shard(
    make_plan: MakePlan, store: Store, model: Model
) -> None:
    told: list[str] = []
    reporter = Reporter(pace=lambda pace: told.append(str(pace)))
    run_batch(make_plan(), store=store, model=model, reporter=reporter)
    assert len(told) == 5
    assert told[-1].startswith("shard 5 of 5, 40 of 40 rows, ")
    assert "tokens/s, 0:00:00 left" in told[-1]
