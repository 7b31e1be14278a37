"""Scores of attention patterns against closed forms and planted heads."""

import numpy as np
import pytest
import torch

from probes.attention import AttentionPattern, head_scores, uniform_scores
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.result.result import Result
from workbench.runs.counting import count_texts
from workbench.runs.spec import RunSpec

TEXT = "the cat sat . the red dog ran to paris"


def run(model: Model, *texts: str) -> Result:
    rows = [Example(text=text, number=i) for i, text in enumerate(texts)]
    spec = RunSpec(name="attention-pattern")
    return count_texts(AttentionPattern(), spec, rows, model, Context.of(model)).result


def planted(n: int) -> torch.Tensor:
    """Three heads: all on the first token, all on the previous one, uniform."""
    first, previous, uniform = np.zeros((3, n, n))
    first[:, 0] = 1
    previous[np.arange(n), np.maximum(np.arange(n) - 1, 0)] = 1
    for t in range(n):
        uniform[t, : t + 1] = 1 / (t + 1)
    return torch.from_numpy(np.stack([first, previous, uniform])[None])


def test_planted_heads_get_the_scores_they_were_planted_with() -> None:
    seen = torch.ones(1, 12, dtype=torch.bool)
    scores = head_scores(planted(12), seen)[:, 0].nanmean(dim=-1)
    assert scores[:, 0].tolist() == pytest.approx([1, 0, 0])
    assert scores[:, 1].tolist() == pytest.approx([0, 1, 0])
    uniform = uniform_scores(seen)[:, 0].nanmean(dim=-1)
    assert scores[:, 2].tolist() == pytest.approx(uniform.tolist())
    assert float(uniform[2]) == pytest.approx(np.mean(np.log(np.arange(3, 13))))


def test_the_table_equals_the_kept_pattern(tiny_llama: Model) -> None:
    result = run(tiny_llama, TEXT)
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
    result = run(tiny_llama, TEXT, "a king saw the blue bird", "the cat sat on the mat")
    found = result.estimate("to_first")
    assert found.n == 3
    assert found.low is not None
    assert found.control is not None
    row = result.tables["heads"].frame.iloc[0]
    assert row["to_first_low"] <= row["to_first"] <= row["to_first_high"]


def test_texts_too_short_to_score_are_named(tiny_llama: Model) -> None:
    with pytest.raises(TooLittleData, match="long enough"):
        run(tiny_llama, "cat")
    result = run(tiny_llama, "cat", TEXT)
    assert any(note.code == "short" for note in result.notes)
