"""The program as the shell sees it: Ctrl-C, closed pipes, full outputs, exit codes."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.runs.store import Store

Program = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.slow

RUN = ("probe", "run", "first-token-norm", "--model", "tiny:llama")


@pytest.fixture
def environment(tmp_path: Path, sample_site: Path) -> dict[str, str]:
    import os

    return {
        **os.environ,
        "PYTHONPATH": str(sample_site),
        "WORKBENCH_STORE": str(tmp_path / "store"),
        "OMP_NUM_THREADS": "1",
    }


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_in_the_middle_keeps_the_part_that_was_done(
    tmp_path: Path, environment: dict[str, str], stop: signal.Signals
) -> None:
    rows = tmp_path / "rows.txt"
    rows.write_text("".join(f"the dog and the cat of number {i}\n" for i in range(20_000)))
    command = [sys.executable, "-m", "app.cli.main", *RUN, "--data", str(rows), "--resamples", "5"]
    process = subprocess.Popen(
        [*command, "--batch-tokens", "64", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert process.stderr is not None
    said = ""
    while "texts: 20000 to do" not in said:
        said += process.stderr.readline()
    time.sleep(2.0)
    process.send_signal(stop)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "stopped" in rest
    assert "Traceback" not in rest
    (run_id,) = Store(tmp_path / "store").find(status="interrupted")["run_id"]
    assert f"kept as {run_id}" in rest
    run = Store(tmp_path / "store").get(run_id)
    assert run.result is not None
    assert 0 < run.result.estimates[0].n < 20_000
    assert any("stopped after" in note.text for note in run.result.notes)


def _in_shell(
    behind: str, folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    shell = f"{sys.executable} -m app.cli.main probe list --json {behind}"
    return subprocess.run(
        ["sh", "-c", shell], capture_output=True, text=True, cwd=folder, env=environment,
        timeout=120, check=False,
    )  # fmt: skip


def test_a_closed_pipe_ends_quietly(tmp_path: Path, environment: dict[str, str]) -> None:
    done = _in_shell("| head -c 5", tmp_path, environment)
    assert done.stdout == "[\n {\n"[:5]
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_output_that_is_full(tmp_path: Path, environment: dict[str, str]) -> None:
    done = _in_shell("> /dev/full", tmp_path, environment)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_exit_codes(program: Program, tmp_path: Path) -> None:
    program(*RUN, "--text", "the dog and the cat", code=0)
    program(*RUN, "--text", "the", code=1)
    program(*RUN, "--where", "nowhere", code=2)
    done = program(
        *RUN, "--text", "caf\udce9 and the dog", "--text", "the dog is it", "--json", code=1
    )
    assert json.loads(done.stdout)["status"] == "partial"


def test_an_ascii_terminal_gets_valid_json(program: Program) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = program(*RUN, "--text", "the café is it so", "--json", env=ascii_only)
    assert done.stdout.isascii()
    assert json.loads(done.stdout)["spec"]["data"]["texts"] == ["the café is it so"]
