"""Quality by delay where the future is drawn at random, and where it is known at once."""

import numpy as np
import pytest

from probes.look_ahead import LookAhead, qualities
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.model.tiny import tiny_model

V, N, LENGTH, AHEAD = 4, 240, 60, 4


def curve(tokens, states):
    text = np.repeat(np.arange(N), LENGTH)
    part = np.array([0, 0, 1, 2])[text % 4]
    mixed = np.random.default_rng(1).permutation(states)
    rows = qualities(np.eye(V)[tokens], (states, mixed), text, part, ahead=AHEAD, dims=64)
    return [
        [np.mean([r[m] for r in rows if r["delay"] == d]) for d in range(AHEAD + 1)]
        for m in ("quality", "quality_elsewhere")
    ]


def test_random_tokens_are_told_one_by_one_by_states_that_keep_them():
    tokens = np.random.default_rng(0).integers(0, V, N * LENGTH)
    states = np.hstack([np.eye(V)[np.roll(tokens, k)] for k in range(AHEAD)])
    quality, null = curve(tokens, states)
    assert quality == pytest.approx([d / AHEAD for d in range(AHEAD + 1)], abs=0.02)
    assert np.abs(null).max() < 0.02


def test_what_is_known_at_once_needs_no_look_ahead():
    tokens = np.repeat(np.random.default_rng(0).integers(0, V, N), LENGTH)
    quality, null = curve(tokens, np.eye(V)[tokens])
    assert quality == pytest.approx([1.0] * (AHEAD + 1), abs=0.01)
    assert max(null) < 0.1


def test_the_first_sentence_says_how_long_one_waits_and_short_texts_are_refused():
    model = tiny_model("llama")
    rows = [Example(text="the king saw a dog and a cat ran in the hall", number=i)
            for i in range(8)]  # fmt: skip
    found = LookAhead(ahead=2, layers="1", dims=4).study(model, rows, Context.of(model))
    assert found.summary.startswith("Last-layer states")
    assert found.table("delays").frame["delay"].tolist() == [0, 1, 2]
    with pytest.raises(TooLittleData, match="65 tokens"):
        LookAhead(ahead=64, layers="1").study(model, rows, Context.of(model))
