"""`workbench batch`: exit codes, what is printed, what is refused."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke

ROWS = ("the dog is one", "a cat and the dog", "so it is", "two of the one", "it is so")


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in ROWS))
    path = tmp_path / "plan.toml"
    path.write_text(
        f"""name = "tiny"
shard_rows = 2
resamples = 20
model = {{ name = "tiny:llama" }}
data = {{ path = "{rows}" }}
[[probes]]
name = "logit-lens"
options = {{ positions = "last" }}
"""
    )
    return path


def test_a_plan_runs_and_its_runs_are_in_the_store(invoke: Invoke, plan: Path) -> None:
    done = invoke("batch", str(plan), "--json")
    found = json.loads(done.stdout)
    assert (found["rows"], found["bad_rows"], found["shards"]) == (5, 0, 3)
    assert "shard 3 of 3, 5 of 5 rows" in done.stderr
    (run,) = found["runs"]
    assert run["status"] == "complete"
    assert run["run_id"] in invoke("runs", "list", "--json").stdout
    refused = invoke("batch", str(plan), code=2)
    assert "--resume" in refused.stderr
    again = json.loads(invoke("batch", str(plan), "--resume", "--json").stdout)
    assert (again["shards_computed"], again["damaged"]) == (0, [])


def test_a_bad_row_is_named_and_the_exit_code_says_so(invoke: Invoke, plan: Path) -> None:
    rows = plan.with_name("rows.jsonl")
    rows.write_text(rows.read_text() + '{"text": "\x1b[31m"\n')
    done = invoke("batch", str(plan), code=1)
    assert "1 row could not be used" in done.stderr
    assert "Exception" not in done.output
    assert "\x1b[31m" not in done.output


def test_a_dry_run_keeps_nothing(invoke: Invoke, plan: Path, store_path: Path) -> None:
    found = json.loads(invoke("batch", str(plan), "--dry-run", "--json").stdout)
    assert found["rows"] == 5
    assert found["tokens_per_second"] > 0
    assert not store_path.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('name = "tiny"\n', 'name = "../up"\n'), "name is '../up'"),
        (("shard_rows", "shard_row"), "did you mean shard_rows?"),
        (('name = "logit-lens"', 'name = "logit-lense"'), "logit-lens"),
        (('name = "tiny"\n', 'name = "tiny"\nkeep = {sites = ["resid_post.9"]}\n'), "layer 9"),
    ],
)
def test_what_cannot_run_is_refused(
    invoke: Invoke, plan: Path, change: tuple[str, str], said: str
) -> None:
    plan.write_text(plan.read_text().replace(*change, 1))
    assert said in invoke("batch", str(plan), code=2).stderr
