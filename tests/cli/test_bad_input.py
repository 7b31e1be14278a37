"""Whatever is thrown at the command line: a clear message, nothing lost, the store readable."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.cli.conftest import Invoke, is_told
from workbench.runs.store import Store

TINY = ("--model", "tiny:llama", "--resamples", "20")
RUN = ("probe", "run", "first-token-norm", *TINY)


@pytest.fixture(autouse=True)
def _registered(sample_probe: str) -> None:
    """Every test here may use the quick probe."""


def _cloud(path: Path, n: int, d: int, value: float | None = None) -> str:
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(0))
    if value is not None:
        x[n // 2, 0] = value
    save_file({"x": x}, path)
    return str(path)


def test_empty_text(invoke: Invoke) -> None:
    done = invoke(*RUN, "--text", "", code=1)
    assert "text 1: the text is empty" in done.stderr


def test_an_empty_text_among_others_is_named_and_the_rest_is_used(invoke: Invoke) -> None:
    done = invoke(*RUN, "--text", "the dog and the cat", "--text", " ", "--json", code=1)
    facts = json.loads(done.stdout)
    assert (facts["status"], facts["estimates"][0]["n"]) == ("partial", 1)
    assert "text 2: the text is empty" in done.stderr


def test_a_text_of_100_kilobytes_is_cut_and_said(invoke: Invoke) -> None:
    done = invoke(*RUN, "--text", "the dog " * 12_500)
    assert "1 texts were cut to 256 tokens" in done.stdout


def test_an_argument_that_is_not_unicode(invoke: Invoke) -> None:
    done = invoke(*RUN, "--text", "the dog and the cat", "--text", "\udcff", "--json", code=1)
    assert json.loads(done.stdout)["status"] == "partial"
    assert "text 2: the text is not valid Unicode" in done.stderr


def test_bad_rows_in_the_middle_of_a_file(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    good = b'{"text": "the dog and the cat of it"}\n'
    path.write_bytes(good + b'{"text": "cut\n' + good + b'{"text": "\xff"}\n' + b"[]\n" + good)
    done = invoke(*RUN, "--data", str(path), "--json", code=1)
    facts = json.loads(done.stdout)
    assert (facts["status"], facts["estimates"][0]["n"]) == ("partial", 3)
    for line, reason in ((2, "not valid JSON"), (4, "not valid UTF-8"), (5, "not an object")):
        assert any(
            said.startswith(f"rows.jsonl:{line}: ") and reason in said
            for said in done.stderr.splitlines()
        )
    again = invoke(*RUN, "--data", str(path), "--json", code=1)
    assert json.loads(again.stdout)["run_id"] == facts["run_id"]
    assert "rows.jsonl:4" in again.stderr


def test_hostile_text_is_shown_as_text(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"\x1b]0;evil\x07[red]": "x"}) + '\n{"text": "the dog is so"}\n')
    done = invoke(*RUN, "--data", str(path), code=1)
    assert "\x1b" not in done.output
    assert "\\x1b]0;evil\\x07[red]" in done.stderr


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_activations_that_are_not_finite(invoke: Invoke, tmp_path: Path, value: float) -> None:
    path = _cloud(tmp_path / "a.safetensors", 40, 4, value)
    done = invoke("probe", "run", "isotropy", "--activations", path, "--resamples", "5", code=1)
    assert "run failed" in done.stderr
    assert "NaN" in done.stderr or "finite" in done.stderr


def test_fewer_points_than_dimensions_is_said(invoke: Invoke, tmp_path: Path) -> None:
    path = _cloud(tmp_path / "a.safetensors", 12, 32)
    done = invoke("probe", "run", "isotropy", "--activations", path, "--resamples", "5", "--json")
    facts = json.loads(done.stdout)
    assert facts["status"] == "complete"
    assert any(note["level"] == "warning" for note in facts["notes"])
    assert "warning:" in done.stderr


@pytest.mark.parametrize("content", [b"", b"nonsense" * 20, None])
def test_activation_files_that_cannot_be_read(
    invoke: Invoke, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "a.safetensors"
    if content is not None:
        path.write_bytes(content)
    done = invoke("probe", "run", "isotropy", "--activations", str(path), code=1)
    assert "a.safetensors" in done.stderr


def test_one_token(invoke: Invoke) -> None:
    done = invoke(*RUN, "--text", "the", code=1)
    assert "no text holds three tokens" in done.stderr
    assert "try: give longer texts" in done.stderr


def test_one_token_through_real_probes(invoke: Invoke) -> None:
    for name in ("isotropy", "logit-lens"):
        done = invoke("probe", "run", name, *TINY, "--text", "the", "--json", code=None)
        assert done.exit_code in (0, 1)
        assert json.loads(done.stdout)["status"] in ("complete", "failed")


def test_unknown_site_and_layer_out_of_range(invoke: Invoke) -> None:
    text = ("--text", "the dog and the cat")
    unknown = invoke(*RUN, *text, "--where", "resid_pots", code=2)
    assert "expected one of resid_post" in unknown.stderr
    far = invoke(*RUN, *text, "--layers", "99", code=2)
    assert "tiny:llama has layers 0 to 2" in far.stderr
    site = invoke("generate", "--model", "tiny:llama", *text, "--read", "resid.3", code=2)
    assert "'resid.3' is not a site" in site.stderr


def test_wrong_backend_device_and_dtype(invoke: Invoke) -> None:
    text = ("--text", "the dog and the cat")
    for flag, value in (("--backend", "hook"), ("--device", "tpu"), ("--dtype", "int3")):
        done = invoke(*RUN, *text, flag, value, code=2)
        assert value in done.stderr
        assert "expected" in done.stderr


def test_models_that_do_not_exist(invoke: Invoke, tmp_path: Path) -> None:
    text = ("--text", "the dog and the cat")
    for name in (str(tmp_path / "nowhere"), "tiny:lama", "no-such/model-at-all"):
        done = invoke("probe", "run", "first-token-norm", "--model", name, *text, code=None)
        assert done.exit_code in (1, 2)
        assert "try:" in done.stderr


def test_files_that_do_not_exist(invoke: Invoke, tmp_path: Path) -> None:
    for flag in ("--data", "--activations", "--spec"):
        name = "first-token-norm" if flag != "--activations" else "isotropy"
        done = invoke("probe", "run", name, flag, str(tmp_path / "none.jsonl"), code=1)
        assert "No such file" in done.stderr


def test_a_spec_file_that_is_none(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('nam = "isotropy"\nseed = "x"\n')
    done = invoke("probe", "run", "--spec", str(path), code=2)
    assert "unknown key nam" in done.stderr
    assert "seed is 'x'" in done.stderr


def test_a_damaged_run_is_named_and_the_others_stay(invoke: Invoke, store_path: Path) -> None:
    ids = [
        json.loads(invoke(*RUN, "--text", f"the dog {word} it", "--json").stdout)["run_id"]
        for word in ("saw", "and")
    ]
    table = Store(store_path).path(ids[0]) / "tables" / "layers.parquet"
    table.write_bytes(table.read_bytes()[:-10])
    shown = invoke("runs", "show", ids[0], code=1)
    assert "layers.parquet missing or changed" in shown.stderr
    assert "--fresh" in shown.stderr
    assert ids[1] in invoke("runs", "show", ids[1]).stdout
    assert "--fresh" in invoke(*RUN, "--text", "the dog saw it", code=1).stderr
    invoke(*RUN, "--text", "the dog saw it", "--fresh")
    assert ids[0] in invoke("runs", "show", ids[0]).stdout


def test_a_damaged_index_heals(invoke: Invoke, store_path: Path) -> None:
    invoke(*RUN, "--text", "the dog and it")
    (store_path / "index.sqlite").write_bytes(b"nonsense")
    assert len(json.loads(invoke("runs", "list", "--json").stdout)) == 1


def test_a_full_disk_shows_the_result_all_the_same(
    invoke: Invoke, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = json.loads(invoke(*RUN, "--text", "the dog and it", "--json").stdout)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    done = invoke(*RUN, "--text", "a cat and the dog", "--json", code=1)
    assert json.loads(done.stdout)["status"] == "complete"
    assert "No space left on device" in done.stderr
    assert "free some space" in done.stderr
    monkeypatch.undo()
    kept = Store(store_path)
    assert list(kept.find()["run_id"]) == [earlier["run_id"]]
    assert kept.get(earlier["run_id"]).status == "complete"


def test_a_store_that_cannot_be_made(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = invoke(*RUN, "--text", "the dog", "--store", str(tmp_path / "file"), code=1)
    assert "cannot write to" in done.stderr
    assert "WORKBENCH_STORE" in done.stderr


def test_a_bug_is_no_traceback(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Store, **_: str) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(Store, "find", broken)
    done = invoke("runs", "list", code=1)
    assert "unexpected: ZeroDivisionError: by zero" in done.stderr
    assert "WORKBENCH_TRACEBACK=1" in done.stderr


def test_a_traceback_is_there_for_who_asks(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from click.testing import CliRunner

    from app.cli.main import cli

    monkeypatch.setenv("WORKBENCH_TRACEBACK", "1")
    done = CliRunner().invoke(cli, ["probe", "show", "nothing"])
    assert done.exit_code == 2
    assert "Traceback" in done.stderr


def test_places_that_no_store_can_be_at(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (str(tmp_path / "file" / "x"), "/dev/null/x", "a\x00b", "x" * 5000, ""):
        is_told(invoke(*RUN, "--text", "the dog and it", "--store", place, code=None), place)
