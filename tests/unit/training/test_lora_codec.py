"""A codec of two adapters: its vectors, its losses, what it writes, and the way to disk."""

import json

import pytest
import torch

from tests.networks import memorised
from workbench.errors import DataError, ModelError, ModelNotFound, NotFinite, Unsupported
from workbench.model.tiny import tiny_model
from workbench.training.adapter import LoraShape
from workbench.training.checkpoint import MANIFEST, Checkpoint, Manifest
from workbench.training.codec import Known
from workbench.training.codec_files import (
    RECIPE,
    codec_tensors,
    has_codec,
    joined,
    open_codec,
)
from workbench.training.lora_codec import SentenceIds, by_length

SENTENCES = ["the dog and the cat", "is it so , he", "the red king", "7 + 3", "cat"]
SHAPE = LoraShape(rank=8, alpha=16.0, part="both")


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


@pytest.fixture(scope="module")
def adapters(model):
    """Two adapters trained until the sentences come back."""
    return memorised(model, SENTENCES, SHAPE)


@pytest.fixture(scope="module")
def codec(model, adapters):
    return joined(model, adapters, Known(texts=tuple(SENTENCES), vectors=torch.eye(5, 32)))


def test_trained_sentences_come_back_and_random_vectors_bring_others(codec):
    vectors = codec.encode(SENTENCES)
    assert [one.text for one in codec.decode(vectors)] == SENTENCES
    noise = torch.randn(40, 32, generator=torch.Generator().manual_seed(1))
    found = codec.decode(noise, limit=9)
    hits = sum(one.text == SENTENCES[i % 5] for i, one in enumerate(found))
    assert hits <= 16, "chance among five sentences"
    best = min(one.logprob for one in codec.decode(vectors))
    assert best > sum(one.logprob for one in found) / len(found)


def test_a_row_of_a_batch_is_the_row_alone(codec):
    vectors = codec.encode(SENTENCES)
    for i, text in enumerate(SENTENCES):
        torch.testing.assert_close(codec.encode([text])[0], vectors[i], atol=1e-5, rtol=1e-4)
    together = codec.decode(vectors)
    for i, one in enumerate(together):
        alone = codec.decode(vectors[i : i + 1])[0]
        assert (alone.ids, alone.logprob) == (one.ids, pytest.approx(one.logprob, abs=1e-4))


def test_only_the_direction_of_a_vector_counts(codec):
    vectors = codec.encode(SENTENCES)
    torch.testing.assert_close(
        vectors.square().mean(dim=-1).sqrt(), torch.full((5,), codec.scale), atol=1e-4, rtol=1e-4
    )
    assert [d.ids for d in codec.decode(7 * vectors)] == [d.ids for d in codec.decode(vectors)]


def test_token_losses_are_what_the_decoder_said(codec):
    vectors = torch.randn(3, 32, generator=torch.Generator().manual_seed(5))
    found = codec.decode(vectors, limit=6)
    with torch.no_grad():
        losses = codec.token_losses(vectors, [one.ids for one in found])
        alone = codec.token_losses(codec.encode(SENTENCES), codec.ids.of(SENTENCES))
    for part, one in zip(losses.split([len(one.ids) for one in found]), found, strict=True):
        assert -float(part.mean()) == pytest.approx(one.logprob, abs=1e-4)
    rows = codec.ids.of(SENTENCES)
    mean = [-float(p.mean()) for p in alone.split([len(row) for row in rows])]
    assert codec.likelihood(codec.encode(SENTENCES), SENTENCES) == pytest.approx(mean, abs=1e-4)


def test_gradients_reach_both_adapters(codec, adapters):
    rows = codec.ids.of(SENTENCES[:2])
    loss = codec.token_losses(codec.vectors(rows), rows).sum()
    for adapter in adapters.values():
        weights = list(adapter.parameters().values())
        assert any(
            float(g.norm()) > 0 for g in torch.autograd.grad(loss, weights, retain_graph=True)
        )


def test_nearest_known_sentences(codec):
    (found,) = codec.known.nearest(torch.eye(5, 32)[2:3] + 0.1 * torch.eye(5, 32)[3:4], 2)
    assert [text for text, _ in found] == ["the red king", "7 + 3"]
    assert codec.known.nearest(torch.zeros(2, 32), 0) == [(), ()]
    assert codec.encode([]).shape == (0, 32)
    assert codec.decode(torch.zeros(0, 32)) == []


def test_groups_of_like_length_hold_every_row_once():
    lengths = [3, 9, 1, 4, 4, 30, 2]
    groups = list(by_length(lengths, 12))
    assert sorted(i for group in groups for i in group) == list(range(7))
    assert all(len(g) * max(lengths[i] for i in g) <= 12 or len(g) == 1 for g in groups)


def test_a_tokenizer_without_an_end_is_refused():
    class Endless:
        eos_token_id = bos_token_id = None

    with pytest.raises(Unsupported, match="ends a text"):
        _ = SentenceIds(Endless()).start


def test_a_codec_comes_back_from_its_folder(model, adapters, codec, tmp_path):
    texts = tuple(SENTENCES)
    known = Known(texts=texts, vectors=codec.encode(SENTENCES))
    manifest = Manifest(
        recipe=RECIPE,
        options={"adapter": SHAPE.as_dict(), "known": list(texts)},
        base_model=model.spec.name,
        base_hash=model.spec.weights_hash,
        seed=0,
        data_hash="",
    )
    Checkpoint(manifest=manifest, tensors=codec_tensors(adapters, known)).save(tmp_path)
    opened = open_codec(model, str(tmp_path))
    assert torch.equal(opened.encode(SENTENCES), codec.encode(SENTENCES))
    found = opened.decode(opened.encode(SENTENCES), nearest=1)
    assert [one.nearest[0][0] for one in found] == SENTENCES
    with pytest.raises(ModelError, match="belongs to"):
        open_codec(tiny_model("gpt2"), str(tmp_path))
    told = json.loads((tmp_path / MANIFEST).read_text())
    told["options"]["known"] = ["cat"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / MANIFEST).write_text(json.dumps(told))
    (tmp_path / "other" / "weights.safetensors").write_bytes(
        (tmp_path / "weights.safetensors").read_bytes()
    )
    with pytest.raises(ModelError, match="known sentences"):
        open_codec(model, str(tmp_path / "other"))


def test_no_codec_ships_for_a_random_model(model):
    assert not has_codec(model)
    with pytest.raises(ModelNotFound, match="workbench train sentence-codec"):
        open_codec(model)


@pytest.mark.parametrize(
    ("spoilt", "error", "reason"),
    [
        (0.0, DataError, r"vectors \[1\] of 3 have length zero"),
        (float("nan"), NotFinite, r"vectors \[1\] of 3 hold NaN"),
        (float("inf"), NotFinite, r"vectors \[1\] of 3 hold NaN"),
    ],
)
def test_what_has_no_direction_is_written_as_no_sentence(codec, spoilt, error, reason):
    vectors = torch.ones(3, 32)
    vectors[1] = spoilt
    with pytest.raises(error, match=reason):
        codec.decode(vectors)
    with pytest.raises(error, match=reason):
        codec.likelihood(vectors, SENTENCES[:3])


@pytest.mark.parametrize("blank", ["", "  ", "\n\t"])
def test_what_holds_no_word_has_no_vector(codec, blank):
    with pytest.raises(DataError, match=r"sentences \[1\] of 2 hold no word"):
        codec.encode(["cat", blank])
    with pytest.raises(DataError, match="hold no word"):
        codec.likelihood(torch.ones(1, 32), [blank])


@pytest.mark.parametrize("length", [1e-30, 1e-6, 1e18, 1e30])
def test_vectors_of_extreme_length_keep_their_direction(codec, length):
    vectors = codec.encode(SENTENCES)
    torch.testing.assert_close(codec.scaled(length * vectors), codec.scaled(vectors))
    assert [one.text for one in codec.decode(length * vectors)] == SENTENCES
