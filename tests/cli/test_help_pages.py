"""Every command explains itself, with an example, and help costs nothing."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from app.cli.main import GROUPS, cli

HEAVY = ("torch", "transformers", "pandas", "numpy", "rich.console", "plotly", "streamlit")


def _commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command.get_short_help_str(1000)
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


COMMANDS = dict(_commands(cli, ()))


def test_every_group_is_listed() -> None:
    assert {path[0] for path in COMMANDS} == set(GROUPS)
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("path", sorted(COMMANDS), ids=" ".join)
def test_every_command_has_a_sentence_and_an_example(path: tuple[str, ...]) -> None:
    assert re.match(r"[A-Z].+[.?]$", COMMANDS[path]), COMMANDS[path]
    shown = CliRunner().invoke(cli, [*path, "--help"], prog_name="workbench")
    assert shown.exit_code == 0
    assert f"workbench {' '.join(path)}" in shown.output.split("Example:")[-1]


@pytest.mark.parametrize("path", [(), *sorted(COMMANDS)], ids=lambda p: " ".join(p) or "root")
def test_every_flag_says_what_it_does(path: tuple[str, ...]) -> None:
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert [o.opts for o in options if not o.help] == []
    # nnsight switches to debugging when it finds one of these among the arguments.
    assert not {"-v", "--verbose"} & {flag for o in options for flag in o.opts}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import json, sys\n"
        "from app.cli.main import cli\n"
        "try:\n    cli(['--help'], prog_name='workbench')\nexcept SystemExit:\n    pass\n"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stderr) == []
    assert "probe" in done.stdout


def test_version() -> None:
    shown = CliRunner().invoke(cli, ["--version"], prog_name="workbench")
    assert re.fullmatch(r"workbench \d+\.\d+\.\d+\n", shown.output)
