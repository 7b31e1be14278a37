"""`workbench app`: serve the dashboard on this machine."""

import ipaddress
import os
import socket
import subprocess
import sys
from importlib.util import find_spec

import click

from app.cli.output import say
from app.cli.run_flags import STORE
from app.look import server_flags
from workbench.errors import EnvironmentProblem, InputError

LOOPBACK = "127.0.0.1"
FIRST_PORT = 8501
_TRIES = 50


@click.command(
    epilog="\b\nExample:\n  workbench app\n  workbench app --port 8600 --store ./runs-store"
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help=f"Port.  [default: the first free one from {FIRST_PORT}]",
)
@click.option("--host", default=LOOPBACK, show_default=True, help="Address; only this machine's.")
@click.option("--browser/--no-browser", default=False, help="Open a browser.  [default: off]")
def command(port: int | None, host: str, browser: bool, store: str | None) -> None:
    """Serve the dashboard on this machine and print its address."""
    refuse_other_hosts(host)
    raise click.exceptions.Exit(serve(port=port, host=host, browser=browser, store=store))


command.params.append(STORE)


def serve(
    *,
    port: int | None = None,
    host: str = LOOPBACK,
    browser: bool = False,
    store: str | None = None,
) -> int:
    """Run the dashboard until Ctrl-C; return its exit code.

    Raises:
        EnvironmentProblem: the port is taken, or the dashboard is not installed.
    """
    port = chosen_port(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    say(f"dashboard: {address}  (Ctrl-C stops it)", style="bold")
    environment = {**os.environ, **({"WORKBENCH_STORE": store} if store else {})}
    try:
        command = streamlit_command(host, port, browser)
        # What Streamlit says of itself is not data.
        return subprocess.call(command, env=environment, stdout=2)
    except KeyboardInterrupt:
        say("dashboard stopped")
        return 0


def streamlit_command(host: str, port: int, browser: bool) -> list[str]:
    """Return the command that starts Streamlit on the dashboard's entry script.

    Raises:
        EnvironmentProblem: Streamlit or the entry script is missing.
    """
    entry = find_spec("app.web.entry")
    if find_spec("streamlit") is None or entry is None or entry.origin is None:
        raise EnvironmentProblem("the dashboard is not installed", hint="pip install streamlit")
    flags = server_flags(
        server__address=host,
        server__port=str(port),
        server__headless="false" if browser else "true",
    )
    return [sys.executable, "-P", "-m", "app.server", "run", entry.origin, *flags]


def refuse_other_hosts(host: str) -> None:
    """Refuse an address that other machines can reach.

    Raises:
        InputError: the address is not one of this machine's loopback.
    """
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise InputError(
            f"host is {host!r}; the dashboard has no password and is served on this machine only",
            hint=f"leave out --host and reach it through an ssh tunnel to {LOOPBACK}",
        )


def chosen_port(host: str, port: int | None) -> int:
    """Return the asked-for port, or the first free one.

    Raises:
        EnvironmentProblem: the port is taken, or none is free.
    """
    candidates = [port] if port else list(range(FIRST_PORT, FIRST_PORT + _TRIES))
    for candidate in candidates:
        if _is_free(host, candidate):
            return candidate
    what = f"port {port} is" if port else f"ports {candidates[0]} to {candidates[-1]} are"
    raise EnvironmentProblem(f"{what} taken", hint="choose another with --port")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
