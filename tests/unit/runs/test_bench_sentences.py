"""The bench of sentence reasoning: the published way gives the same answers, and its claim."""

import json

import pytest
from click.testing import CliRunner

from app.cli.bench import command
from workbench.errors import BadOption
from workbench.runs.bench.sentences import SentenceBench, bars, bench_sentences


def test_every_way_gives_the_answers_of_the_published_one() -> None:
    found = bench_sentences(SentenceBench(batch=2, repeats=2, device="cpu"))
    assert len(found["ways"]) == 6
    for row in found["ways"]:
        assert row["same_answers"] == 1.0
        assert row["times_faster_low"] <= row["times_faster"] <= row["times_faster_high"]
    published = [row for row in found["ways"] if row["way"] == "as published"]
    assert {row["times_faster"] for row in published} == {1.0}


@pytest.mark.parametrize(("faster", "passed"), [(7.0, True), (4.9, False)])
def test_the_claim_follows_from_the_numbers(faster: float, passed: bool) -> None:
    row = {"strategy": "sentence-continuous", "way": "batch", "times_faster": faster}
    (bar,) = bars([row], 64)
    assert bar.passed is passed


def test_sizes_are_checked() -> None:
    with pytest.raises(BadOption, match="at least 1"):
        SentenceBench(batch=0)


@pytest.mark.parametrize("form", [["--json"], pytest.param([], marks=pytest.mark.slow)])
def test_the_command_says_when_the_claim_fails(form: list[str]) -> None:
    arguments = ["sentence-reasoning", "--batch", "2", "--repeats", "1", *form]
    done = CliRunner(env={"COLUMNS": "200"}).invoke(command, arguments)
    assert "sentence-discretized" in done.stdout
    if form:
        told = json.loads(done.stdout)
        assert all(row["times_faster_low"] is None for row in told["ways"])
        assert done.exit_code == (0 if all(bar["passed"] for bar in told["bars"]) else 1)
