"""The front-end door: every error leaves as a message with a hint, never as a traceback.

Exit codes: 0 success; 1 failure, interruption, or a run in which rows could not be used or a fit
gave nothing; 2 a request that cannot be met as it was typed.
"""

import os
import sys
import traceback
from typing import Any, NoReturn

import click

from app.cli.output import say, say_error
from workbench.errors import InputError, WorkbenchError

FAILURE = 1
USAGE = 2
TRACEBACK = "WORKBENCH_TRACEBACK"


class Door(click.Group):
    """The root group; turns whatever goes wrong below it into a message and an exit code."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command line and exit."""
        code = FAILURE
        try:
            answer = super().main(*args, **{**extra, "standalone_mode": False})
            sys.stdout.flush()
            code = answer if isinstance(answer, int) else 0
        except Exception as error:
            if os.environ.get(TRACEBACK):
                traceback.print_exception(error)
            code = report(error)
        sys.exit(code)


def report(error: Exception) -> int:
    """Say what went wrong on standard error and return the exit code."""
    if isinstance(error, click.Abort):
        say("stopped")
        for note in getattr(error.__cause__, "__notes__", ()):
            say(note)
        return FAILURE
    if isinstance(error, click.ClickException):
        _show_usage(error)
        return error.exit_code
    if isinstance(error, WorkbenchError):
        say_error(error)
        return USAGE if isinstance(error, InputError) else FAILURE
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        say(f"error: {where}{error.strerror}", style="red")
        return FAILURE
    say(f"unexpected: {type(error).__name__}: {error}", style="red")
    say(
        f"  try: {TRACEBACK}=1 shows where; please report it with the command and the output of "
        "`workbench doctor`"
    )
    return FAILURE


def is_usage(code: str) -> bool:
    """Whether an error code stands for a request that cannot be met as typed."""
    kinds = [InputError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    return code in {kind.code for kind in kinds}


def _show_usage(error: click.ClickException) -> None:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        path = error.ctx.command_path
        say(f"error: {error.format_message()}", style="red")
        say(f"  try: {path} --help")
    else:
        say(f"error: {error.format_message()}", style="red")
