"""Folders that hold no whole model: what is missing, damaged or of another kind is named."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.unit.model.conftest import Saved
from workbench.errors import (
    ModelError,
    ModelNotFound,
    Unsupported,
)
from workbench.model.loading import load_model


def test_pickled_weights_are_refused(checkpoint: Saved) -> None:
    folder = checkpoint("llama")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(Unsupported, match=r"pickled weights \(pytorch_model.bin\)"):
        load_model(str(folder))


def test_an_adapter_is_not_a_model(checkpoint: Saved) -> None:
    folder = checkpoint("llama")
    (folder / "config.json").rename(folder / "adapter_config.json")
    with pytest.raises(ModelError, match="half an adapter"):
        load_model(str(folder))
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    with pytest.raises(Unsupported, match="does not name its base model"):
        load_model(str(folder))


def test_a_folder_without_weights_or_configuration(checkpoint: Saved, tmp_path: Path) -> None:
    folder = checkpoint("llama")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelNotFound, match=r"no model\.safetensors"):
        load_model(str(folder))
    with pytest.raises(ModelNotFound, match=r"no config\.json"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("content", ["", "{", "[1, 2]"])
def test_a_broken_configuration_names_its_file(checkpoint: Saved, content: str) -> None:
    folder = checkpoint("llama")
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config\.json"):
        load_model(str(folder))


@pytest.mark.parametrize("keep", [0, 7, 200, -64])
def test_damaged_weights_name_their_file(checkpoint: Saved, keep: int) -> None:
    path = checkpoint("llama") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"model\.safetensors \("):
        load_model(str(path.parent))


def test_a_missing_shard_is_named(checkpoint: Saved) -> None:
    folder = checkpoint("llama")
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="model-00001-of-00002"):
        load_model(str(folder))


def test_a_missing_parameter_is_not_replaced_by_noise(checkpoint: Saved) -> None:
    path = checkpoint("llama") / "model.safetensors"
    weights = load_file(path)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 parameters are missing.*up_proj"):
        load_model(str(path.parent))


def test_a_parameter_of_another_shape_is_refused(checkpoint: Saved) -> None:
    folder = checkpoint("llama", intermediate_size=48)
    with pytest.raises(ModelError, match=r"cannot load|another shape"):
        load_model(str(folder))


def test_a_folder_without_tokenizer_says_so(checkpoint: Saved) -> None:
    folder = checkpoint("llama")
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match="tokenizer"):
        load_model(str(folder))
