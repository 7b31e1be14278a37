"""Checkpoints: round trip, damage, pickles, wrong models."""

import json

import pytest
import torch

from workbench.errors import ModelError, ModelNotFound, NotFinite, Unsupported
from workbench.training.checkpoint import (
    MANIFEST,
    WEIGHTS,
    Checkpoint,
    Manifest,
    hardware,
    read_manifest,
    texts_hash,
)


def _checkpoint(base_hash="abc", **tensors):
    manifest = Manifest(
        recipe="test",
        options={"rank": 4},
        base_model="tiny:llama",
        base_hash=base_hash,
        seed=3,
        data_hash=texts_hash(["a", "b"]),
        scores={"kl": 0.5},
        hardware=hardware(),
    )
    return Checkpoint(manifest=manifest, tensors=tensors or {"w": torch.arange(6.0).view(2, 3)})


def test_round_trip(tmp_path):
    written = _checkpoint().save(tmp_path)
    found = Checkpoint.load(tmp_path)
    assert found.manifest == written.manifest == read_manifest(tmp_path)
    assert found.manifest.options == {"rank": 4}
    assert torch.equal(found.tensors["w"], torch.arange(6.0).view(2, 3))
    assert sorted(p.name for p in tmp_path.iterdir()) == [MANIFEST, WEIGHTS]


def test_half_precision_on_disk(tmp_path):
    _checkpoint().save(tmp_path, dtype=torch.float16)
    assert Checkpoint.load(tmp_path).tensors["w"].dtype == torch.float16


def test_values_that_overflow_are_refused(tmp_path):
    with pytest.raises(NotFinite, match="big"):
        _checkpoint(big=torch.tensor([1e6])).save(tmp_path, dtype=torch.float16)
    assert not list(tmp_path.iterdir())


def test_changed_weights_are_noticed(tmp_path):
    _checkpoint().save(tmp_path)
    data = bytearray((tmp_path / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (tmp_path / WEIGHTS).write_bytes(data)
    with pytest.raises(ModelError, match="does not match the hash"):
        Checkpoint.load(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 1}', '{"schema": 99}', ""])
def test_damaged_manifests(tmp_path, text):
    _checkpoint().save(tmp_path)
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ModelError):
        Checkpoint.load(tmp_path)


def test_missing_files(tmp_path):
    with pytest.raises(ModelNotFound, match="manifest"):
        Checkpoint.load(tmp_path / "nowhere")
    _checkpoint().save(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(ModelNotFound, match="weights"):
        Checkpoint.load(tmp_path)


@pytest.mark.parametrize("name", ["adapter_model.bin", "weights.pt", "lens.PKL"])
def test_pickles_are_refused_unopened(tmp_path, name):
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(Unsupported, match="run code"):
        Checkpoint.load(tmp_path)
    with pytest.raises(Unsupported, match="run code"):
        Checkpoint.load(tmp_path / name)


def test_a_checkpoint_belongs_to_its_model_and_recipe(tiny_llama):
    mine = _checkpoint(base_hash=tiny_llama.spec.weights_hash)
    mine.check(tiny_llama.spec, recipe="test")
    with pytest.raises(ModelError, match="made by 'test'"):
        mine.check(tiny_llama.spec, recipe="other")
    with pytest.raises(ModelError, match="belongs to tiny:llama"):
        _checkpoint().check(tiny_llama.spec, recipe="test")


def test_text_hashes_see_boundaries():
    assert texts_hash(["ab", "c"]) != texts_hash(["a", "bc"])
    assert texts_hash(["a", "b"]) != texts_hash(["b", "a"])


def test_the_manifest_is_plain_json(tmp_path):
    _checkpoint().save(tmp_path)
    values = json.loads((tmp_path / MANIFEST).read_text())
    assert values["schema"] == 1
    assert values["hardware"]["torch"] == torch.__version__
