"""Adapters beside a model, and every change of files: another model, another run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from workbench.errors import ModelError, Unsupported
from workbench.model.identity import content_hash
from workbench.model.loading import load_model
from workbench.model.tiny import tiny_model
from workbench.runs.execute import execute
from workbench.runs.models import shared_model
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store
from workbench.training.adapter import Adapter, LoraShape

Saved = Callable[..., Path]

TEXT = "the cat sat ."
TARGETS = ("q_proj", "v_proj")


def _add_adapter(
    folder: Path, *, seed: int = 0, base: str = "elsewhere/base", rank: int = 2
) -> dict[str, torch.Tensor]:
    """Write an adapter as PEFT does; return its weights."""
    generator = torch.Generator().manual_seed(seed)
    sizes = {"q_proj": 32, "v_proj": 16}
    tensors = {}
    for layer in range(3):
        for name in TARGETS:
            path = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            shapes = {"A": (rank, 32), "B": (sizes[name], rank)}
            for side, shape in shapes.items():
                tensors[f"{path}.lora_{side}.weight"] = torch.randn(shape, generator=generator)
    config = {
        "peft_type": "LORA", "r": rank, "lora_alpha": 4, "target_modules": list(TARGETS),
        "base_model_name_or_path": base, "task_type": "CAUSAL_LM", "inference_mode": True,
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "adapter_model.safetensors")
    return tensors


def _logits(folder: Path) -> torch.Tensor:
    model = load_model(folder, device="cpu")
    found = model.run(TEXT, logits="all").logits
    assert found is not None
    return found


def _merged(folder: Path, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """The logits of plain transformers with B·A·alpha/rank added to the weights."""
    plain: Any = AutoModelForCausalLM.from_pretrained(folder)
    for layer, block in enumerate(plain.model.layers):
        for name in TARGETS:
            path = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            a, b = (tensors[f"{path}.lora_{side}.weight"] for side in "AB")
            getattr(block.self_attn, name).weight.data += 2.0 * b @ a
    ids = tiny_model("llama").tokenize(TEXT).ids
    with torch.no_grad():
        found: torch.Tensor = plain(input_ids=ids).logits
    return found


def test_an_adapter_beside_the_weights_is_applied_and_named(checkpoint: Saved) -> None:
    folder = checkpoint("llama")
    base = load_model(folder, device="cpu").spec
    plain = _logits(folder)
    reference = shutil.copytree(folder, folder.with_name("plain"))
    tensors = _add_adapter(folder)
    spec = load_model(folder, device="cpu").spec
    assert "LORA of rank 2" in spec.adapter
    assert (base.adapter, base.weights_hash != spec.weights_hash) == ("", True)
    assert base.files_hash != spec.files_hash
    assert torch.allclose(_logits(folder), _merged(reference, tensors), atol=1e-4)
    assert not torch.allclose(_logits(folder), plain, atol=1e-2)


def test_an_adapter_that_names_its_base_is_put_on_it(checkpoint: Saved, tmp_path: Path) -> None:
    base = checkpoint("llama")
    tensors = _add_adapter(tmp_path / "adapter", base=str(base))
    model = load_model(tmp_path / "adapter", device="cpu")
    found = model.run(TEXT, logits="all").logits
    assert found is not None
    assert torch.allclose(found, _merged(base, tensors), atol=1e-4)
    before = content_hash(str(tmp_path / "adapter"))
    assert model.spec.files_hash == before
    (base / "config.json").write_text((base / "config.json").read_text() + "\n")
    assert content_hash(str(tmp_path / "adapter")) != before


def test_adapters_are_not_stacked(checkpoint: Saved, tmp_path: Path) -> None:
    base = checkpoint("llama")
    _add_adapter(base)
    for name, under in (("one", str(base)), ("two", str(tmp_path / "one"))):
        _add_adapter(tmp_path / name, base=under)
        with pytest.raises(Unsupported, match="another adapter"):
            load_model(tmp_path / name, device="cpu")
    with pytest.raises(Unsupported, match="holds an adapter already"):
        Adapter(load_model(base, device="cpu"), LoraShape(), generator=torch.Generator())


@pytest.mark.parametrize("missing", ["adapter_config.json", "adapter_model.safetensors"])
def test_half_an_adapter_is_refused(checkpoint: Saved, missing: str) -> None:
    folder = checkpoint("llama")
    _add_adapter(folder)
    (folder / missing).unlink()
    with pytest.raises(ModelError, match=f"no {missing}: half an adapter"):
        load_model(folder, device="cpu")


def test_pickled_and_damaged_adapters_are_refused(checkpoint: Saved) -> None:
    folder = checkpoint("llama")
    _add_adapter(folder)
    weights = folder / "adapter_model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-40])
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors cannot be read"):
        load_model(folder, device="cpu")
    weights.unlink()
    (folder / "adapter_model.bin").write_bytes(b"pickle")
    with pytest.raises(Unsupported, match="only pickled weights"):
        load_model(folder, device="cpu")


@pytest.mark.parametrize("how", ["less", "more", "renamed", "other rank"])
def test_an_adapter_that_does_not_fit_is_refused(checkpoint: Saved, how: str) -> None:
    folder = checkpoint("llama")
    _add_adapter(folder)
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    first = sorted(tensors)[0]
    if how == "less":
        del tensors[first]
    elif how == "more":
        tensors["base_model.model.model.layers.9.mlp.up_proj.lora_A.weight"] = torch.ones(2, 32)
    elif how == "renamed":
        tensors["base_model.model." + first] = tensors.pop(first)
    else:
        tensors = {n: t[:1] if "lora_A" in n else t[:, :1] for n, t in tensors.items()}
    save_file({n: t.contiguous() for n, t in tensors.items()}, path)
    with pytest.raises(ModelError, match=r"adapter|size mismatch"):
        load_model(folder, device="cpu")


def _spec(folder: Path, **options: Any) -> RunSpec:
    return RunSpec(
        name="logit-lens",
        model=ModelRef(name=str(folder), device="cpu"),
        data=DataRef(texts=("the cat sat . the dog ran .",)),
        resamples=10,
        options=options,
    )


def _edit_adapter(folder: Path) -> None:
    _add_adapter(folder, seed=1)


def _edit_adapter_config(folder: Path) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "lora_alpha": 8}))


def _remove_adapter(folder: Path) -> None:
    for path in folder.glob("adapter_*"):
        path.unlink()


def _edit_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["model.norm.weight"] *= 1.5
    save_file(tensors, path, metadata={"format": "pt"})


def _edit_config(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "rms_norm_eps": 0.5}))


def _edit_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer.json"
    vocabulary = json.loads(path.read_text())
    words = vocabulary["model"]["vocab"]
    words["cat"], words["dog"] = words["dog"], words["cat"]
    path.write_text(json.dumps(vocabulary))


EDITS = (
    _edit_adapter, _edit_adapter_config, _remove_adapter, _edit_weights, _edit_config,
    _edit_tokenizer,
)  # fmt: skip


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__.removeprefix("_"))
def test_changed_files_are_another_spec(checkpoint: Saved, edit: Callable[[Path], None]) -> None:
    folder = checkpoint("llama")
    _add_adapter(folder)
    first = _spec(folder).pinned()
    assert _spec(folder).pinned() == first == first.pinned()
    edit(folder)
    assert first.pinned().run_id != first.run_id


def test_a_changed_adapter_is_a_new_run(checkpoint: Saved, tmp_path: Path) -> None:
    folder, store = checkpoint("llama"), Store(tmp_path / "store")
    _add_adapter(folder)
    first = execute(_spec(folder), store=store)
    assert execute(_spec(folder), store=store).provenance == first.provenance
    _edit_adapter(folder)
    second = execute(_spec(folder), store=store)
    assert second.run_id != first.run_id
    fresh = execute(_spec(folder), store=Store(tmp_path / "fresh"))
    assert first.result is not None
    assert second.result is not None
    assert fresh.result is not None
    assert second.result.estimates == fresh.result.estimates
    assert second.result.estimates != first.result.estimates
    assert store.get(first.run_id).spec == first.spec


def test_the_record_of_a_run_names_the_adapter(checkpoint: Saved, tmp_path: Path) -> None:
    folder, store = checkpoint("llama"), Store(tmp_path / "store")
    _add_adapter(folder)
    run = execute(_spec(folder), store=store)
    kept = store.get(run.run_id)
    assert "LORA of rank 2" in kept.provenance["model"]["adapter"]
    assert kept.spec.model is not None
    assert kept.spec.model.sha256 == kept.provenance["model"]["files_hash"] != ""
    assert RunSpec.from_toml(kept.spec.to_toml()).pinned().run_id == kept.run_id


def test_a_loaded_model_is_loaded_again_when_its_files_change(checkpoint: Saved) -> None:
    folder = checkpoint("llama")
    ref = ModelRef(name=str(folder), device="cpu")
    first = shared_model(ref)
    assert shared_model(ref) is first
    _add_adapter(folder)
    assert shared_model(ref).spec.weights_hash != first.spec.weights_hash


def test_names_that_decide_by_themselves_keep_their_runs() -> None:
    for name in ("default", "tiny:llama", "tiny:gpt2:3"):
        spec = RunSpec(name="isotropy", model=ModelRef(name=name))
        assert spec.pinned().hash == spec.hash
        assert "sha256" not in spec.as_dict()["model"]


def test_a_model_in_memory_is_not_taken_for_another_of_its_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    spec = RunSpec(
        name="logit-lens",
        model=ModelRef(name="tiny:llama", device="cpu"),
        data=DataRef(texts=("the cat sat . the dog ran .",)),
        resamples=10,
    )
    known = execute(spec, store=store)
    assert execute(spec, store=store, model=tiny_model("llama")).run_id == known.run_id
    other = execute(spec, store=store, model=tiny_model("llama", seed=1))
    assert other.run_id != known.run_id
    assert other.provenance["model"]["name"] == "tiny:llama:1"


def test_a_retrained_checkpoint_is_a_new_run(tmp_path: Path) -> None:
    folder = tmp_path / "lens"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    (folder / "weights.safetensors").write_bytes(b"one")
    spec = RunSpec(name="tuned-lens", options={"checkpoint": str(folder)})
    first = spec.pinned()
    assert first.pinned() == first
    (folder / "weights.safetensors").write_bytes(b"two")
    assert first.pinned().run_id != first.run_id
    assert RunSpec.from_toml(first.to_toml()) == first
