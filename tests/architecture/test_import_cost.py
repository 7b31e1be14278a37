"""What is heavy is imported only when it is used."""

import json
import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "transformers",
    "transformer_lens",
    "nnsight",
    "plotly",
    "streamlit",
    "causallearn",
    "sklearn",
    "pandas",
    "scipy",
)


def _loaded_by(code: str) -> list[str]:
    program = (
        "import json, sys\n"
        "try:\n"
        + "".join(f"    {line}\n" for line in code.splitlines())
        + "except SystemExit:\n    pass\n"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    found: list[str] = json.loads(done.stderr.splitlines()[-1])
    return found


def test_the_measure_works() -> None:
    assert _loaded_by("import pandas") == ["pandas"]


@pytest.mark.parametrize(
    "module",
    [
        "workbench",
        "workbench.errors",
        "workbench.options",
        "workbench.config",
        "workbench.model.sites",
        "workbench.model.spec",
        "workbench.methods.registry",
        "app.guard",
        "app.cli.main",
    ],
)
def test_light_modules_stay_light(module: str) -> None:
    assert _loaded_by(f"import {module}") == []


@pytest.mark.parametrize("arguments", [["--help"], ["probe", "--help"], ["models", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"sys.argv = ['workbench', *{arguments!r}]\nfrom app.cli.main import main\nmain()"
    assert _loaded_by(code) == []
