"""Scores of attention patterns against closed forms and planted heads."""

import numpy as np
import pytest

from probes.attention import AttentionPattern, head_scores, uniform_scores
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model

TEXT = "the cat sat . the red dog ran to paris"


def planted(n: int) -> np.ndarray:
    """Three heads: all on the first token, all on the previous one, uniform."""
    first, previous, uniform = np.zeros((3, n, n))
    first[:, 0] = 1
    previous[np.arange(n), np.maximum(np.arange(n) - 1, 0)] = 1
    for t in range(n):
        uniform[t, : t + 1] = 1 / (t + 1)
    return np.stack([first, previous, uniform])[None]


def test_planted_heads_get_the_scores_they_were_planted_with() -> None:
    scores = head_scores(planted(12))[:, 0]
    assert scores[:, 0] == pytest.approx([1, 0, 0])
    assert scores[:, 1] == pytest.approx([0, 1, 0])
    assert scores[:, 2] == pytest.approx(uniform_scores(12))


def test_the_table_equals_the_kept_pattern(tiny_llama: Model) -> None:
    result = AttentionPattern().study(tiny_llama, [Example(text=TEXT)], Context(resamples=10))
    pattern = result.arrays["pattern"].astype(np.float64)
    spec = tiny_llama.spec
    n = tiny_llama.tokenize(TEXT).ids.shape[1]
    assert pattern.shape == (spec.n_layers, spec.n_heads, n, n)
    assert pattern.sum(axis=-1) == pytest.approx(1.0, abs=2e-3)
    heads = result.tables["heads"]
    assert len(heads) == spec.n_layers * spec.n_heads
    expected = pattern[1, 2, 2:, 0].mean()
    row = heads.frame.query("layer == 1 and head == 2")
    assert float(row["to_first"].iloc[0]) == pytest.approx(expected, abs=2e-3)


def test_intervals_are_over_texts(tiny_llama: Model) -> None:
    texts = [Example(text=TEXT), Example(text="a king saw the blue bird")]
    texts.append(Example(text="the cat sat on the mat"))
    result = AttentionPattern().study(tiny_llama, texts, Context(resamples=50))
    found = result.estimate("to_first")
    assert found.n == 3
    assert found.low is not None
    assert found.control is not None


def test_texts_too_short_to_score_are_named(tiny_llama: Model) -> None:
    with pytest.raises(TooLittleData, match="more than 2 tokens"):
        AttentionPattern().study(tiny_llama, [Example(text="cat")], Context())
    result = AttentionPattern().study(
        tiny_llama, [Example(text="cat"), Example(text=TEXT)], Context(resamples=10)
    )
    assert any("left out" in note.text for note in result.notes)
