"""Hostile plans, hostile names, hostile rows: refused or named, never a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.batch.conftest import MakePlan
from workbench.batch.plan import MOST_BYTES, BatchPlan, read_plan
from workbench.batch.run import run_batch
from workbench.errors import BadOption, DataError, InputError, WorkbenchError
from workbench.model.model import Model
from workbench.runs.store import Store

GOOD = """
name = "a"
[data]
path = "rows.jsonl"
[[probes]]
name = "isotropy"
"""

HOSTILE = (
    "<script>alert(1)</script>",
    "\x1b[31mred\x1b[0m",
    "\u202eright to left",
    "../../etc/passwd",
    "a\0b",
    "{{7*7}}",
    "🧨" * 50,
    "\ufeff",
    "NaN",
)


def test_a_plan_is_read() -> None:
    plan = BatchPlan.from_toml(GOOD)
    assert (plan.name, plan.shard_rows, plan.keys()) == ("a", 512, ("00-isotropy",))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('shard_row = 3\nname = "a"', r"unknown key shard_row \(did you mean shard_rows\?\)"),
        ('name = "../up"', "name is '../up'"),
        ('name = "a..b"', "name is 'a..b'"),
        ('name = "/tmp/x"', "name is"),
        ('name = "a"\nshard_rows = 0', "at least 1"),
        ('name = "a"\nbatch_tokens = "x"', "batch_tokens is 'x'"),
        ('name = "a"\nkeep = {sites = 3}', "keep.sites is 3"),
        ('name = "a"\nkeep = {dtype = "int8"}', "keep.dtype is 'int8'"),
        ('name = "a"\nmodel = {nam = "x"}', r"did you mean name\?"),
    ],
)
def test_what_does_not_fit_is_said(change: str, said: str) -> None:
    with pytest.raises(BadOption, match=said):
        BatchPlan.from_toml(GOOD.replace('name = "a"', change, 1))


def test_problems_come_all_at_once() -> None:
    with pytest.raises(BadOption) as refused:
        BatchPlan.from_toml('name = ""\ndatum = 1')
    assert all(word in refused.value.message for word in ("name is ''", "datum", "probes"))


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 100_000, "x" * (MOST_BYTES + 1), "= 3", "a" + ".b" * 50_000 + " = 1"],
    ids=["nested", "long", "broken", "dotted"],
)
def test_a_toml_bomb_is_refused(text: str) -> None:
    with pytest.raises(BadOption):
        BatchPlan.from_toml(text)


def test_a_plan_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_plan(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot read"):
        read_plan(tmp_path / "bytes.toml")


@pytest.mark.parametrize("path", ["-", ""])
def test_rows_that_cannot_be_read_again_are_refused(path: str) -> None:
    with pytest.raises(BadOption, match="expected a file"):
        BatchPlan.from_toml(GOOD.replace("rows.jsonl", path))


def test_a_probe_that_drives_the_model_is_refused(make_plan: MakePlan) -> None:
    with pytest.raises(InputError, match="drives the model itself"):
        make_plan(probes=[{"name": "critical-tokens"}]).pinned()


def test_hostile_texts_are_counted_like_any_other(
    make_plan: MakePlan, store: Store, model: Model, rows: Path
) -> None:
    rows.write_text("".join(json.dumps({"text": t, "kind": t}) + "\n" for t in HOSTILE))
    done = run_batch(make_plan(), store=store, model=model)
    n_bad = len((done.folder / "quarantine.jsonl").read_bytes().splitlines())
    assert sum(m.n_good for m in done.manifests) + n_bad == len(HOSTILE)
    assert sum(m.n_good for m in done.manifests) >= len(HOSTILE) - 1
    assert all(run.result for run in done.runs)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.lists(st.integers(), max_size=3),
    st.sampled_from(HOSTILE),
)
LINES = st.one_of(
    st.fixed_dictionaries({"text": VALUES, "kind": VALUES}).map(lambda v: json.dumps(v).encode()),
    st.fixed_dictionaries({"text": st.text(min_size=1, max_size=40)}).map(
        lambda v: json.dumps({**v, "kind": "odd"}).encode()
    ),
    st.binary(max_size=40),
    st.dictionaries(st.text(max_size=5), VALUES, max_size=3).map(lambda v: json.dumps(v).encode()),
)
SURELY_GOOD = json.dumps({"text": "the dog is one", "kind": "even"}).encode()


def _check_fuzzed(data: Any, plan: MakePlan, model: Model, folder: Path, *, n: int) -> None:
    path = folder / "rows.jsonl"
    given_lines = data.draw(st.lists(LINES, min_size=n, max_size=n))
    lines = [line for fuzz in given_lines for line in (fuzz, SURELY_GOOD)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    number = len(list((folder / "fuzz").glob("*"))) if (folder / "fuzz").exists() else 0
    store = Store(folder / "fuzz" / str(number))
    try:
        done = run_batch(plan(shard_rows=50), store=store, model=model)
    except WorkbenchError as error:
        raise AssertionError(f"a good row was lost: {error}") from error
    named = [json.loads(x) for x in (done.folder / "quarantine.jsonl").read_bytes().splitlines()]
    assert all(set(row) == {"source", "reason"} for row in named)
    assert all(row["source"].startswith("rows.jsonl:") and row["reason"] for row in named)
    lines_named = {int(row["source"].split(":")[1]) for row in named}
    physical = path.read_bytes().split(b"\n")
    good = [i for i, line in enumerate(physical, 1) if line == SURELY_GOOD]
    assert len(good) >= n
    assert not lines_named & set(good)
    n_rows = sum(m.n_rows for m in done.manifests)
    assert sum(m.n_good for m in done.manifests) + len(named) == n_rows
    statuses = {run.status for run in done.runs}
    assert statuses == ({"partial"} if named else {"complete"})


CALM = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.parametrize(
    ("examples", "rows_each"), [(2, 20), pytest.param(100, 100, marks=pytest.mark.slow)]
)
def test_fuzzed_rows_lose_no_good_row(
    make_plan: MakePlan, model: Model, tmp_path: Path, examples: int, rows_each: int
) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=CALM, derandomize=True)
    @given(data=st.data())
    def check(data: Any) -> None:
        _check_fuzzed(data, make_plan, model, tmp_path, n=rows_each)

    check()
