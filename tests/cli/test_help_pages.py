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


def _commands(
    group: click.Group, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


@pytest.fixture(scope="module")
def commands() -> dict[tuple[str, ...], click.Command]:
    """Every command by its path, made as the command line makes it."""
    return dict(_commands(cli, ()))


def test_every_group_is_listed(commands: dict[tuple[str, ...], click.Command]) -> None:
    assert {path[0] for path in commands} == set(GROUPS)
    assert len(commands) > 20


def test_every_command_has_a_sentence_and_an_example(
    commands: dict[tuple[str, ...], click.Command],
) -> None:
    problems = []
    for path, command in commands.items():
        sentence = command.get_short_help_str(1000)
        if not re.match(r"[A-Z].+[.?]$", sentence):
            problems.append(f"{' '.join(path)}: {sentence!r}")
        shown = CliRunner().invoke(cli, [*path, "--help"], prog_name="workbench")
        examples = shown.output.partition("Example:")[2]
        if shown.exit_code != 0 or f"workbench {' '.join(path)}" not in examples:
            problems.append(f"{' '.join(path)}: no example")
    assert problems == []


def test_every_flag_says_what_it_does(commands: dict[tuple[str, ...], click.Command]) -> None:
    options = [
        (" ".join(path), option)
        for path, command in commands.items()
        for option in command.params
        if isinstance(option, click.Option)
    ]
    assert [(path, option.opts) for path, option in options if not option.help] == []
    # nnsight switches to debugging when it finds one of these among the arguments.
    assert not {"-v", "--verbose"} & {flag for _, option in options for flag in option.opts}


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
