"""The bench of latent inputs: what it measures, its claims and its command."""

import json

import pytest
from click.testing import CliRunner

from app.cli.bench import command
from workbench.errors import BadOption
from workbench.runs.bench.latent import BATCHES, _bars, _row, bench_latent


def test_every_batch_is_measured_in_one_run() -> None:
    found = bench_latent("tiny:llama", new_tokens=3, repeats=1, device="cpu")
    assert [row["batch"] for row in found["batches"]] == list(BATCHES)
    assert len(found["bars"]) == 4
    for row in found["batches"]:
        assert row["hybrid_over_plain_low"] <= row["hybrid_over_plain"]
        assert row["generate_tokens_per_second"] > 0


def test_claims_follow_from_the_numbers() -> None:
    seconds = {"plain": [1.0, 2.0, 1.0], "hybrid": [1.05, 2.1, 1.3], "generate": [0.8, 2.0, 1.2]}
    row = _row(32, seconds, 10)
    assert row["hybrid_over_plain"] == pytest.approx(1.05)
    assert row["loop_rate_over_generate"] == pytest.approx(1.0)
    assert row["plain_tokens_per_second"] == pytest.approx(320.0)
    assert all(bar.passed for bar in _bars(32, row))
    slow = {**row, "hybrid_over_plain": 1.2, "loop_rate_over_generate": 0.8}
    assert not any(bar.passed for bar in _bars(32, slow))
    assert len(_bars(1, slow)) == 1


def test_sizes_are_checked() -> None:
    with pytest.raises(BadOption, match="at least 1"):
        bench_latent("tiny:llama", new_tokens=0)


def test_the_command_prints_json_and_says_when_a_claim_fails() -> None:
    arguments = ["latent", "--model", "tiny:llama", "--new-tokens", "2", "--repeats", "1", "--json"]
    found = CliRunner().invoke(command, arguments)
    told = json.loads(found.stdout)
    assert found.exit_code == (0 if all(bar["passed"] for bar in told["bars"]) else 1)
