"""The first commands a newcomer types: doctor, demo, app."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from app import health
from app.cli import serve
from app.health import Check, checkup, is_healthy
from workbench.config import settings
from workbench.errors import EnvironmentProblem, InputError
from workbench.methods import registry
from workbench.methods.registry import LoadFailure

Invoke = Callable[..., Result]


@pytest.fixture
def _loads(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.load_plugins()
    monkeypatch.setattr(registry, "_failures", [])


@pytest.mark.usefixtures("_loads")
def test_doctor_is_content_here(invoke: Invoke, store_path: Path) -> None:
    done = invoke("doctor")
    assert "everything is in order" in done.stdout
    assert not store_path.exists()
    rows = json.loads(invoke("doctor", "--json").stdout)
    assert {"python", "package names", "torch", "plugins", "default model", "store"} <= {
        row["name"] for row in rows
    }
    assert all(row["state"] in ("ok", "warning") for row in rows)


def test_a_missing_model_is_a_warning(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.model import default_model

    monkeypatch.setattr(default_model, "embedded_file", lambda: None)
    (check,) = health._default_model()
    assert (check.state, "pip install" in check.hint) == ("warning", True)
    assert is_healthy((check,))


def test_a_damaged_model_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.model import default_model

    path = tmp_path / "model.gguf"
    path.write_bytes(b"not the model")
    monkeypatch.setattr(default_model, "embedded_file", lambda: path)
    checks = [check for check in checkup() if check.name == "default model"]
    assert checks[0].state == "failed"
    assert "is damaged" in checks[0].found


@pytest.mark.parametrize(
    ("where", "state"), [("probes.isotropy", "failed"), ("strangers.probe", "warning")]
)
def test_plugins_that_failed_are_named(
    monkeypatch: pytest.MonkeyPatch, where: str, state: str
) -> None:
    registry.load_plugins()
    failure = LoadFailure(where=where, reason="ImportError: no")
    monkeypatch.setattr(registry, "_failures", [failure])
    found = [check for check in health._plugins() if check.name == "plugin"]
    assert [(check.state, check.found) for check in found] == [(state, f"{where}: ImportError: no")]


def test_a_store_that_cannot_be_written_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "file"))
    settings.cache_clear()
    assert health._store()[0].state == "failed"


def test_failures_set_the_exit_code(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Check(name="torch", state="failed", found="a product came out wrong", hint="reinstall")
    monkeypatch.setattr(health, "checkup", lambda: (broken,))
    done = invoke("doctor", code=1)
    assert "FAILED" in done.stdout
    assert "try: reinstall" in done.stdout


def test_a_check_that_breaks_is_a_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def _breaks() -> list[Check]:
        raise OSError("disk on fire")

    monkeypatch.setattr(health, "_LOOKS", (_breaks,))
    assert checkup() == (Check(name="breaks", state="failed", found="OSError: disk on fire"),)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example", "10.0.0.1", ""])
def test_the_dashboard_stays_on_this_machine(invoke: Invoke, host: str) -> None:
    done = invoke("app", "--host", host, code=2)
    assert "served on this machine only" in done.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_loopback_is_allowed(host: str) -> None:
    serve.refuse_other_hosts(host)


def test_other_hosts_raise() -> None:
    with pytest.raises(InputError):
        serve.refuse_other_hosts("0.0.0.0")


def test_a_taken_port_is_named_and_stepped_over() -> None:
    with socket.socket() as taken:
        taken.bind((serve.LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentProblem, match=f"port {port} is taken"):
            serve.chosen_port(serve.LOOPBACK, port)
    assert serve.chosen_port(serve.LOOPBACK, None) >= serve.FIRST_PORT


def test_app_starts_streamlit_on_the_entry_script(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[tuple[list[str], dict[str, str]]] = []

    def call(command: list[str], *, env: dict[str, str], stdout: int) -> int:
        assert stdout == 2
        calls.append((command, env))
        return 0

    monkeypatch.setattr(serve.subprocess, "call", call)
    done = invoke("app", "--store", str(tmp_path / "s"))
    ((command, env),) = calls
    assert command[0] == sys.executable
    assert "-P" in command
    assert Path(command[command.index("run") + 1]).name == "entry.py"
    assert command[command.index("--server.address") + 1] == "127.0.0.1"
    assert command[command.index("--server.headless") + 1] == "true"
    assert env["WORKBENCH_STORE"] == str(tmp_path / "s")
    assert "http://127.0.0.1:" in done.stderr


def test_ctrl_c_stops_the_dashboard_quietly(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(serve.subprocess, "call", call)
    assert "dashboard stopped" in invoke("app").stderr


def test_demo_reports_and_serves(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, sample_probe: str
) -> None:
    from app.cli import demo
    from workbench.runs import execute as door
    from workbench.runs.spec import DataRef, ModelRef, RunSpec

    def small(*, name: str, data: DataRef) -> RunSpec:
        return RunSpec(
            name=name,
            model=ModelRef(name="tiny:llama"),
            data=DataRef(path=data.path, limit=4),
            resamples=20,
        )

    served: list[str] = []
    monkeypatch.setattr(demo, "PROBES", (sample_probe, "logit-lens"))
    monkeypatch.setattr(demo, "RunSpec", small)
    monkeypatch.setattr(serve, "serve", lambda *, store: served.append(store) or 0)
    assert door is not None
    done = invoke("demo", "--no-serve")
    assert "first-token-norm" in done.stdout
    assert done.stdout.count("complete") == 2
    assert "layers" in done.stdout
    assert "workbench runs show" in done.stderr
    assert served == []
    invoke("demo")
    assert len(served) == 1


def test_the_server_is_streamlit_with_the_probes_on_their_way() -> None:
    words = serve.streamlit_command(serve.LOOPBACK, 8501, browser=False)
    done = subprocess.run(
        [*words[: words.index("run")], "version"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.startswith("Streamlit")
