"""The lens that ships: small, told where it comes from, and right about plain sentences."""

from importlib.resources import files
from pathlib import Path

import pytest

from workbench.runs.text_grid import grid
from workbench.training.checkpoint import read_manifest

FOLDER = Path(str(files("workbench"))) / "data" / "models" / "sentence-words-smollm2-135m"


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
