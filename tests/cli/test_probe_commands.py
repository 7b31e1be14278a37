"""Probes are listed, explained and run; data on standard output, the rest on standard error."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from workbench.runs.spec import RunSpec
from workbench.runs.store import Store

Invoke = Callable[..., Result]

TEXTS = ("--text", "the dog and the cat", "--text", "is it so , he said")
RUN = ("probe", "run", "first-token-norm", "--model", "tiny:llama", "--resamples", "50")


@pytest.fixture(autouse=True)
def _registered(sample_probe: str) -> None:
    """Every test here may use the quick probe."""


def test_list(invoke: Invoke) -> None:
    rows = json.loads(invoke("probe", "list", "--json").stdout)
    names = [row["name"] for row in rows]
    assert {"first-token-norm", "isotropy", "logit-lens"} <= set(names)
    assert names == sorted(names)
    found = list(csv.DictReader(io.StringIO(invoke("probe", "list", "--csv").stdout)))
    assert [row["name"] for row in found] == names
    assert "first-token-norm" in invoke("probe", "list").stdout


def test_json_and_csv_exclude_each_other(invoke: Invoke) -> None:
    assert "choose one" in invoke("probe", "list", "--json", "--csv", code=2).stderr
    assert "choose one" in invoke(*RUN, *TEXTS, "--json", "--csv", "layers", code=2).stderr


def test_show(invoke: Invoke) -> None:
    page = invoke("probe", "show", "first-token-norm").stdout
    for part in ("Compare the length", "Xiao et al.", "--where", "resid_post|resid_mid", "Units:"):
        assert part in page
    facts = json.loads(invoke("probe", "show", "first-token-norm", "--json").stdout)
    assert facts["options"][0]["choices"][0] == "resid_post"
    assert (facts["package"], facts["options"][1]["repeated"]) == ("sample_probes", True)


def test_run_prints_value_with_interval_unit_and_control(invoke: Invoke, store_path: Path) -> None:
    done = invoke(*RUN, *TEXTS, "--text", "no bird ran")
    run = Store(store_path).get("first-token-norm")
    assert run.result is not None
    first = run.result.estimates[0]
    assert first.low is not None
    assert f"{first.name}" in done.stdout
    assert f"[{first.low:.3f}"[:6] in done.stdout
    assert "ratio" in done.stdout
    assert "n = 3 texts" in done.stdout
    assert "kept in" in done.stderr
    assert run.run_id in done.stdout


def test_json_is_the_run_and_nothing_else(invoke: Invoke, store_path: Path) -> None:
    done = invoke(*RUN, *TEXTS, "--json")
    facts = json.loads(done.stdout)
    stored = Store(store_path).get(facts["run_id"])
    assert facts == json.loads(json.dumps(stored.as_dict()))
    assert (facts["status"], len(facts["tables"]["layers"])) == ("complete", 3)


def test_csv_is_one_table(invoke: Invoke) -> None:
    done = invoke(*RUN, *TEXTS, "--csv", "layers")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["layer"] for row in rows] == ["0", "1", "2"]
    wrong = invoke(*RUN, *TEXTS, "--csv", "layer", code=2)
    assert "no table 'layer'; the result has layers" in wrong.stderr


def test_options_become_flags(invoke: Invoke) -> None:
    done = invoke(*RUN, *TEXTS, "--where", "mlp_out", "--layers", "-1", "--layers", "0", "--json")
    facts = json.loads(done.stdout)
    assert facts["spec"]["options"] == {"where": "mlp_out", "layers": [-1, 0]}
    assert [row["layer"] for row in facts["tables"]["layers"]] == [2, 0]
    several = invoke(*RUN, *TEXTS, "--layers", "-1,0", "--where", "mlp_out", "--json")
    assert json.loads(several.stdout)["run_id"] == facts["run_id"]


def test_every_common_flag_reaches_the_spec(invoke: Invoke, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"q": "the dog and the cat", "y": "a", "g": "1"}\n' * 3)
    done = invoke(
        *RUN, "--data", str(rows), "--field", "q", "--label", "y", "--group", "g", "--limit", "2",
        "--backend", "hooks", "--device", "cpu", "--dtype", "float32", "--seed", "7",
        "--max-tokens", "16", "--batch-tokens", "32", "--toml",
    )  # fmt: skip
    spec = RunSpec.from_toml(done.stdout)
    assert (spec.seed, spec.resamples, spec.max_tokens, spec.batch_tokens) == (7, 50, 16, 32)
    assert spec.model is not None
    assert (spec.model.name, spec.model.dtype) == ("tiny:llama", "float32")
    data = spec.data
    assert (data.field, data.label, data.group, data.limit) == ("q", "y", "g", 2)


def test_toml_prints_the_spec_and_stops(invoke: Invoke, store_path: Path) -> None:
    done = invoke(*RUN, *TEXTS, "--toml")
    spec = RunSpec.from_toml(done.stdout)
    assert spec.options == {"where": "resid_post", "layers": []}
    assert not store_path.exists()
    assert "option 'where'" in invoke(*RUN, *TEXTS, "--where", "x", "--toml", code=2).stderr


def test_a_written_spec_runs_again_as_the_same_run(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(invoke(*RUN, *TEXTS, "--toml").stdout)
    first = json.loads(invoke(*RUN, *TEXTS, "--json").stdout)
    again = invoke("probe", "run", "--spec", str(path), "--json")
    assert json.loads(again.stdout) == first
    assert "found in" in again.stderr or "kept in" in again.stderr
    named = invoke("probe", "run", "first-token-norm", "--spec", str(path), "--seed", "3", "--json")
    spec = json.loads(named.stdout)["spec"]
    assert (spec["seed"], spec["model"]["name"]) == (3, "tiny:llama")
    other = invoke("probe", "run", "isotropy", "--spec", str(path), code=2)
    assert "is a spec of probe first-token-norm" in other.stderr


def test_the_same_run_comes_from_the_store(
    invoke: Invoke, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = json.loads(invoke(*RUN, *TEXTS, "--json").stdout)
    folder = Store(store_path).path(first["run_id"])
    before = folder.stat().st_mtime_ns
    assert json.loads(invoke(*RUN, *TEXTS, "--json").stdout) == first
    assert folder.stat().st_mtime_ns == before
    assert "--fresh" not in invoke(*RUN, *TEXTS, "--fresh").stderr
    assert folder.stat().st_mtime_ns > before


def test_store_flag(invoke: Invoke, tmp_path: Path, store_path: Path) -> None:
    invoke(*RUN, *TEXTS, "--store", str(tmp_path / "elsewhere"))
    assert len(Store(tmp_path / "elsewhere").find()) == 1
    assert not store_path.exists()


def test_standard_input(invoke: Invoke) -> None:
    lines = '{"text": "the dog and the cat"}\nplain words of it\n'
    facts = json.loads(invoke(*RUN, "--data", "-", "--json", input=lines).stdout)
    assert facts["estimates"][0]["n"] == 2


def test_without_input_the_shipped_prompts_are_used(invoke: Invoke) -> None:
    done = invoke(*RUN, "--limit", "3", "--json")
    assert "prompts that ship with the package" in done.stderr
    assert json.loads(done.stdout)["spec"]["data"]["path"] == "shipped:prompts.jsonl"


def test_inputs_exclude_each_other(invoke: Invoke) -> None:
    done = invoke(*RUN, *TEXTS, "--data", "x.jsonl", code=2)
    assert "--text and --data were both given" in done.stderr


def test_progress_without_a_terminal_is_two_lines(invoke: Invoke) -> None:
    done = invoke(*RUN, *TEXTS)
    assert [line for line in done.stderr.splitlines() if line.startswith("texts:")] == [
        "texts: 2 to do",
        *[line for line in done.stderr.splitlines() if line.startswith("texts: done in")],
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("probe", "run"), "which probe? give a NAME or --spec FILE"),
        (("probe", "run", "first-token-nrm"), "try: first-token-norm"),
        (("probe", "run", "first-token-norm", "--wher", "x"), "No such option"),
        (("probe", "run", "first-token-norm", "--limit", "0"), "--limit"),
        (("probe", "show", "nothing"), "no probe is called 'nothing'"),
        (("prob",), "No such command"),
        (("probe", "run", "--seed", "3", "first-token-norm"), "No such option"),
    ],
)
def test_wrong_usage(invoke: Invoke, arguments: tuple[str, ...], said: str) -> None:
    done = invoke(*arguments, code=2)
    assert said in done.stderr
    assert "try:" in done.stderr
    assert done.stdout == ""


def test_an_option_named_like_a_common_flag_stays_reachable(invoke: Invoke) -> None:
    from dataclasses import dataclass

    from workbench.methods import registry
    from workbench.options import option

    @registry.probe("clashing")
    @dataclass(frozen=True, kw_only=True)
    class Clashing:
        """Clash with a common flag."""

        limit: int = option(3, help="Its own limit.")

    assert Clashing is not None
    shown = invoke("probe", "run", "clashing", "--help").stdout
    assert "--option-limit" in shown
    spec = invoke("probe", "run", "clashing", "--option-limit", "5", *TEXTS, "--toml").stdout
    assert RunSpec.from_toml(spec).options == {"limit": 5}
