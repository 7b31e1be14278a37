"""A second process from any kind of program: a plain script, standard input, `-c`."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from workbench.errors import EnvironmentProblem
from workbench.worker import TookTooLong, Worker, WorkerFailed

ROOT = Path(__file__).resolve().parents[3]

CALL = """
from workbench.worker import Worker
print("begun")
print(Worker("operator:neg").call(3, seconds=30.0))
"""

SEARCH = """
import workbench as wb
print("begun")
run = wb.execute(wb.RunSpec(kind="discovery", name="pc", resamples=1))
print(run.status, run.failure)
"""

ARMS = """
import workbench as wb
print("begun")
options = dict(
    preset="tiny", seeds=2, arms="grpo", format_steps=2, steps=2, prompts=2, responses=2,
    new_tokens=6, judged=6, problems=40, rank=2, workers=2,
)
spec = wb.RunSpec(
    kind="recipe", name="hybrid", options=options, model=wb.ModelRef(name="tiny:llama"),
    data=wb.DataRef(task="sums?terms=2&largest=9"), resamples=10,
)
run = wb.execute(spec, store=wb.Store("store"))
print(run.status, run.failure)
"""


def _run(program: str, how: str, folder: Path) -> subprocess.CompletedProcess[str]:
    script = folder / "plain script.py"
    script.write_text(textwrap.dedent(program))
    command, given = {
        "script": ([str(script)], None),
        "stdin": (["-"], program),
        "command": (["-c", program], None),
    }[how]
    return subprocess.run(
        [sys.executable, *command],
        input=given,
        stdin=None if given is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("how", ["script", "stdin", "command"])
def test_a_program_without_a_guard_may_call_a_worker(how: str, tmp_path: Path) -> None:
    done = _run(CALL, how, tmp_path)
    assert (done.stdout.split(), done.stderr) == (["begun", "-3"], "")


@pytest.mark.slow
@pytest.mark.parametrize("program", [SEARCH, ARMS], ids=["search", "arms"])
def test_a_plain_script_runs_work_that_needs_processes(program: str, tmp_path: Path) -> None:
    done = _run(program, "script", tmp_path)
    assert done.stdout.split() == ["begun", "complete", "None"], done.stderr
    assert "Traceback" not in done.stderr


def test_what_goes_wrong_is_told_apart() -> None:
    with pytest.raises(TookTooLong, match=r"no answer within 0\.2 s"):
        Worker("time:sleep").call(60, seconds=0.2)
    with pytest.raises(WorkerFailed, match="TypeError"):
        Worker("operator:neg").call("text", seconds=30.0)
    with pytest.raises(WorkerFailed, match="the process ended"):
        Worker("os:_exit").call(3, seconds=30.0)
    with pytest.raises(EnvironmentProblem, match="no_such_module"):
        Worker("no_such_module:any").call(0, seconds=30.0)


def test_a_worker_that_was_ended_is_started_again() -> None:
    worker = Worker("time:sleep")
    with pytest.raises(TookTooLong):
        worker.call(60, seconds=0.2)
    assert worker.call(0, seconds=30.0) is None
    process = worker._process
    worker.close()
    assert process is not None
    assert process.poll() is not None


def test_without_an_interpreter_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(EnvironmentProblem, match="no Python interpreter"):
        Worker("operator:neg").call(3)
