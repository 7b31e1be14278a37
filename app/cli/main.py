"""The command line; groups are found by name, so that `--help` loads nothing heavy."""

import importlib
import logging
import os
import signal
import sys
import warnings
from typing import NoReturn

import click

from app.cli.door import TRACEBACK, Door
from app.guard import check_names

GROUPS = {
    "doctor": "app.cli.doctor",
    "demo": "app.cli.demo",
    "models": "app.cli.models",
    "look": "app.cli.look",
    "probe": "app.cli.probe",
    "batch": "app.cli.batch",
    "generate": "app.cli.generate",
    "train": "app.cli.train",
    "reason": "app.cli.reason",
    "causal": "app.cli.causal",
    "runs": "app.cli.runs",
    "bench": "app.cli.bench",
    "app": "app.cli.serve",
}


class Commands(Door):
    """The commands by name; each module of `GROUPS` holds one as `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order a newcomer meets them."""
        return list(GROUPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in GROUPS:
            return None
        command: click.Command = importlib.import_module(GROUPS[cmd_name]).command
        return command


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExample:\n  workbench demo\n  workbench probe run isotropy --text 'Why is it so?'"
    "\n\nExit codes: 0 success; 1 failure, interruption or rows that could not be used; "
    "2 wrong usage.",
)
@click.version_option(package_name="latent-workbench", message="%(prog)s %(version)s")
def cli() -> None:
    """Look inside a language model, and keep what was found."""


def main() -> None:
    """Run the command line: the console script."""
    check_names()
    _prepare_streams()
    _quiet_libraries()
    signal.signal(signal.SIGTERM, _stop)
    cli(prog_name="workbench")


def _prepare_streams() -> None:
    # Text of models holds characters that a terminal's encoding may lack; losing the output to
    # that would be worse than an escape.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _stop(number: int, frame: object) -> NoReturn:
    # Being told to stop keeps what was done so far, as Ctrl-C does.
    raise KeyboardInterrupt


def _quiet_libraries() -> None:
    # What libraries warn of is for their callers; ours says itself what a user must know.
    if not os.environ.get(TRACEBACK):
        warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


if __name__ == "__main__":
    main()
