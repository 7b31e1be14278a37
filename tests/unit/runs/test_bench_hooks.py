"""The bench: each way reads the same run, ratios are paired, claims follow from the numbers."""

from typing import Any

import pytest
import torch

from workbench.errors import BadOption, EnvironmentProblem
from workbench.model.tiny import tiny_model
from workbench.runs.bench.capture import CAPTURE_METHODS, capture_method, random_tokens
from workbench.runs.bench.hooks import Times, _bars, bench_hooks, time_ways
from workbench.runs.bench.memory import peak_memory

SECONDS = {
    "plain": [(1.0, 2.0), (2.0, 2.0), (4.0, 2.0)],
    "hooks": [(1.1, 3.0), (2.0, 3.0), (3.6, 3.0)],
}


def test_ratios_are_taken_repeat_by_repeat() -> None:
    times = Times(SECONDS, wall=False)
    assert times.ratios("hooks", "plain") == pytest.approx([1.1, 1.0, 0.9])
    assert times.extra("hooks", "plain") == pytest.approx(0.0)
    assert times.median("hooks") == (2.0, 3.0)
    assert Times(SECONDS, wall=True).ratios("hooks", "plain") == [1.5, 1.5, 1.5]


def test_a_claim_fails_when_its_number_is_over_the_limit() -> None:
    fast = {way: [(1.0, 1.0)] for way in CAPTURE_METHODS} | {"hooks, no logits": [(0.8, 0.8)]}
    slow = fast | {"hooks": [(1.05, 1.05)]}
    peaks = dict.fromkeys(CAPTURE_METHODS, 100.0) | {"hooks": 120.0}
    good, bad = (
        {bar["claim"]: bar["value"] <= bar["limit"] for bar in _bars(times, times, peaks)}
        for times in (Times(fast, wall=False), Times(slow, wall=False))
    )
    assert good["hooks / plain, time"]
    assert not bad["hooks / plain, time"]
    assert good["hooks / nnsight trace, time"]
    assert not bad["hooks / nnsight trace, time"]
    assert bad["hooks without logits / plain, time"]
    assert not good["hooks / TransformerBridge cache, peak memory"]


def test_every_way_runs_the_same_model() -> None:
    model = tiny_model("llama")
    tokens = random_tokens(model, batch=2, length=6)
    ways = {way: capture_method(way, model) for way in CAPTURE_METHODS}
    plain = ways["plain"](tokens)
    assert plain is not None
    for way in CAPTURE_METHODS:
        found = ways[way](tokens)
        if way == "hooks, no logits":
            assert found is None
        elif way in ("hooks", "output_hidden_states", "nnsight trace"):
            assert found is not None
            assert torch.equal(found, plain)
        else:
            torch.testing.assert_close(found, plain)
    times = time_ways(model, ways, tokens, repeats=2)
    assert all(len(times.ratios(way, "plain")) == 2 for way in CAPTURE_METHODS)
    assert times.ratios("plain", "plain") == [1.0, 1.0]


def test_sizes_below_one_and_unknown_ways_are_refused() -> None:
    with pytest.raises(BadOption, match="repeats 0"):
        bench_hooks("tiny:llama", repeats=0)
    with pytest.raises(BadOption, match="not a capture method"):
        capture_method("telepathy", tiny_model("llama"))


@pytest.mark.slow
def test_memory_is_measured_in_a_process_of_its_own() -> None:
    asked: dict[str, Any] = {"batch": 64, "length": 128, "device": "cpu"}
    logits = 64 * 128 * 64 * 4 / 1e6
    assert peak_memory("tiny:llama", "plain", **asked) > 0.9 * logits
    with pytest.raises(EnvironmentProblem, match="no tiny model of family 'lama'"):
        peak_memory("tiny:lama", "plain", **asked)


@pytest.mark.slow
def test_the_whole_bench_on_a_tiny_model() -> None:
    found = bench_hooks("tiny:llama", batch=2, length=16, repeats=1, device="cpu")
    assert [cost["way"] for cost in found["costs"]] == list(CAPTURE_METHODS)
    assert found["bit_identical"] is True
    assert {bar["claim"] for bar in found["bars"]} >= {"hooks / plain, time"}
    assert all(cost["peak_mb"] >= 0 for cost in found["costs"])
