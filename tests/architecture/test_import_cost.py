"""What is heavy is imported only when it is used."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import click
import pytest

from app.cli.main import cli

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

LISTS = [
    ["probe", "list"], ["probe", "show", "isotropy"], ["reason", "list"], ["reason", "tasks"],
    ["causal", "list"], ["train", "list", "--json"],
]  # fmt: skip


def _loaded_by(code: str) -> list[str]:
    program = (
        "import json, sys\n"
        "try:\n" + textwrap.indent(code, "    ") + "\nexcept SystemExit:\n    pass\n"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True
    )
    found: list[str] = json.loads(done.stderr.splitlines()[-1])
    return found


def test_the_measure_works() -> None:
    assert _loaded_by("import pandas") == ["pandas"]


LIGHT = (
    "workbench",
    "workbench.errors",
    "workbench.options",
    "workbench.config",
    "workbench.model.sites",
    "workbench.model.spec",
    "workbench.methods.registry",
    "app.guard",
    "app.cli.main",
)


@pytest.fixture(scope="module")
def loaded_with() -> dict[str, list[str]]:
    """What is heavy and loaded after each light module, one import after another."""
    code = (
        "import importlib, json, sys\n"
        "found = {}\n"
        f"for name in {LIGHT!r}:\n"
        "    importlib.import_module(name)\n"
        f"    found[name] = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_stay_light(module: str, loaded_with: dict[str, list[str]]) -> None:
    assert loaded_with[module] == []


def test_lists_and_help_pages_import_nothing_heavy() -> None:
    # One program runs them all; what one imports, the rest would find imported.
    code = f"""
from click.testing import CliRunner
from app.cli.main import cli
for arguments in {[*LISTS, *_help_pages()]!r}:
    done = CliRunner().invoke(cli, arguments, prog_name="workbench")
    assert done.exit_code == 0 and done.output, (arguments, done.output)
"""
    assert _loaded_by(code) == []


def test_completion_imports_nothing_heavy() -> None:
    code = """
import os
os.environ |= {"_WORKBENCH_COMPLETE": "bash_complete", "COMP_WORDS": "workbench probe run iso"}
os.environ["COMP_CWORD"] = "3"
sys.argv = ["workbench"]
from app.cli.main import main
main()
"""
    assert _loaded_by(code) == []


def _help_pages() -> Iterator[list[str]]:
    def below(words: list[str], context: click.Context) -> Iterator[list[str]]:
        yield [*words, "--help"]
        command = context.command
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                yield from below([*words, name], click.Context(found, context, name))

    return below([], click.Context(cli, info_name="workbench"))
