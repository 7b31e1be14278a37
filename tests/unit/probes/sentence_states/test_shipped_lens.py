"""The lens that ships and its decoder: small, told where from, and right about plain sentences."""

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from probes.sentence_words import SentenceWords
from workbench.model.tiny import tiny_model
from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, RunSpec
from workbench.runs.text_grid import QUICK, grid
from workbench.training.checkpoint import read_manifest

MODELS = Path(str(files("workbench"))) / "data" / "models"
FOLDER, DECODER = MODELS / "sentence-words-smollm2-135m", MODELS / "sentence-decoder-smollm2-135m"
_OTHER = "another sentence's state"
TEXTS = (
    "My sister bought a new car. The teacher wrote a long letter. It was raining all day.",
    "The dog slept in the kitchen. He paid ten dollars for the ticket.",
)


def test_it_is_small_and_names_its_texts_and_figures():
    assert (FOLDER / "weights.safetensors").stat().st_size < 16e6
    manifest = read_manifest(FOLDER)
    assert "Tatoeba" in manifest.data
    for kind in ("given texts", "own texts", "rare names and numbers"):
        told = manifest.scores[kind]["words_p_at_1"]
        assert told["low"] > 5 * told["another sentence's state"]


@pytest.mark.slow
def test_it_reads_plain_sentences_and_says_nothing_sure_of_noise():
    found = grid(
        "My sister bought a new car. The teacher wrote a long letter. zq vlo rrt kkd xx.",
        probes=["sentence-words"],
    ).grid
    sure = found.map("sentence-words confidence")
    ends = [i for i, token in enumerate(found.tokens) if token.strip() == "."]
    words = ({"sister", "bought", "new", "car"}, {"teacher", "wrote", "long", "letter"}, set())
    said = found.words["sentence-words said"]
    for end, wanted in zip(ends, words, strict=True):
        told = {w for row in said for w in row[end].split(", ") if w}
        assert bool(told & wanted) == bool(wanted)
        assert sure[:, end].max() <= 1


def test_its_decoder_is_small_and_names_its_texts_and_figures():
    assert (DECODER / "weights.safetensors").stat().st_size < 16e6
    manifest = read_manifest(DECODER)
    assert "Tatoeba" in manifest.data
    for kind in ("given texts", "own texts", "rare names and numbers"):
        told = manifest.scores[kind]
        assert told["information_saved"]["low"] > 0 > told["information_saved"][_OTHER]
        assert told["written_f1"]["low"] > told["written_f1"][_OTHER]
        assert told["wrong_trusted"]["value"] <= 0.05


def test_nats_are_dear_where_a_decoder_is_known_and_wait_to_be_asked_for():
    spec = tiny_model("llama").spec
    assert SentenceWords().price(spec) == 0, "no decoder ships for it"
    known = replace(spec, weights_hash=read_manifest(DECODER).base_hash)
    assert SentenceWords().price(known) > QUICK
    assert SentenceWords(**SentenceWords.quick).price(known) == 0
    assert SentenceWords(decoder=str(DECODER)).price(spec) > QUICK


@pytest.mark.slow
def test_a_decoder_changes_no_word_and_saves_nats_of_plain_sentences():
    data = DataRef(texts=TEXTS)
    off, on = (
        execute(RunSpec(name="sentence-words", data=data, options=options)).result
        for options in ({"information": "none"}, {})
    )
    before, after = (one.tables["grid"].frame for one in (off, on))
    assert "saved" not in before
    assert "written" not in before
    assert before.equals(after[list(before)]), "bit for bit"
    saved = after["saved"].dropna().to_numpy()
    assert saved.shape == (5,)
    assert np.median(saved) > 3
    assert on.estimate("information_saved").value > on.estimate("information_saved").control
