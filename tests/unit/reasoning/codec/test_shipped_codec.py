"""The codec that ships for the embedded model: small, found by name, true on unseen sentences."""

from importlib.resources import files
from pathlib import Path

import pytest
import torch

from reasoning.codec.corpus import collect
from reasoning.codec.evaluation import decode_alike
from workbench.sampling.split import in_part
from workbench.training.checkpoint import WEIGHTS, read_manifest
from workbench.training.codec_files import RECIPE, has_codec, open_codec
from workbench.training.pooled_codec_files import open_pooled_codec

FOLDER = Path(str(files("workbench"))) / "data" / "models" / "sentence-codec"
TASKS = ("arithmetic", "prosqa", "blocksworld?blocks=7")


@pytest.fixture(scope="module")
def codec(default_model):
    return open_codec(default_model)


@pytest.fixture(scope="module")
def unseen():
    """A few sentences of every task, of the part that no training ever sees."""
    families = collect([], TASKS, 60, ())
    return [s for some in families.values() for s in [t for t in some if in_part(t, "test")][:5]]


def test_it_ships_small_with_its_story(default_model):
    assert has_codec(default_model)
    manifest = read_manifest(FOLDER)
    assert manifest.recipe == RECIPE
    assert manifest.base_hash == default_model.spec.weights_hash
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 16_000_000
    assert (FOLDER / WEIGHTS).is_file()
    assert manifest.scores["exact match"]["n"] >= 500
    assert manifest.scores["exact match"]["value"] >= 0.95
    assert manifest.scores["exact match"]["random vectors"] == 0


def test_unseen_sentences_come_back_and_random_vectors_bring_none(codec, unseen):
    lengths = [len(row) for row in codec.ids.of(unseen)]
    vectors = codec.encode(unseen)
    written = decode_alike(codec, vectors, lengths)
    hits = sum(one.text == sentence for one, sentence in zip(written, unseen, strict=True))
    assert hits >= 0.9 * len(unseen), "the manifest tells what was measured on many more"
    noise = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(0))
    odd = decode_alike(codec, noise, lengths)
    assert not any(one.text == sentence for one, sentence in zip(odd, unseen, strict=True))


def test_the_nearest_known_sentence_of_a_known_one_is_itself(codec):
    known = codec.known.texts[:6]
    found = codec.known.nearest(codec.encode(list(known)), 1)
    assert [near[0][0] for near in found] == list(known)
    assert all(near[0][1] == pytest.approx(1, abs=0.01) for near in found)


@pytest.mark.slow
def test_names_that_no_training_saw_come_back_through_sums_of_codes(default_model):
    codec = open_pooled_codec(default_model)
    sentences = [f"{name} gave the keys to her sister." for name in ("Zelda", "Priya", "Yusuf")]
    assert [one.text for one in codec.decode(codec.encode(sentences), limit=20)] == sentences
    assert not any("gave the keys" in text for text in codec.known.texts)
