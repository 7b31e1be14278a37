"""The real dashboard on loopback, driven by the system's Chromium."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from workbench.errors import EnvironmentProblem

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 180_000
TEXT = "the cat sat . the red dog ran to paris"
CHROMIUM = "/usr/bin/chromium"
QUIET = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def address(store_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the dashboard as `workbench app` does and return its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("log") / "app.log"
    program = "from app.cli.main import main; main()"
    command = [sys.executable, "-P", "-c", program, "app", "--port", str(port)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [*command, "--store", str(store_folder)],
            cwd=ROOT,
            env=environment,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        try:
            _wait_until_up(f"http://127.0.0.1:{port}/_stcore/health", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, 15)
            server.wait(20)


def _wait_until_up(url: str, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.3)
    raise EnvironmentProblem(f"the dashboard did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """The system's Chromium, without a window."""
    if not Path(CHROMIUM).exists():
        pytest.fail(f"{CHROMIUM} is missing; install the distribution's chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Open a page on the tiny model; nothing outside loopback may be asked for."""
    pages = []
    outside: list[str] = []

    def opened(
        path: str = "", *, prompt: str = TEXT, width: int = 1440, scheme: str = "light"
    ) -> Any:
        page = browser.new_page(viewport={"width": width, "height": 1200}, color_scheme=scheme)
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda r: _note(outside, r.url))
        page.goto(f"{address}/{path}?model=tiny:llama&prompt={quote(prompt)}")
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert outside == []


def map_when_ready(page: Any) -> Any:
    """Return the area of the map of layers and tokens, once everything on the page is there."""
    page.get_by_text("Click a cell").wait_for()
    page.get_by_text("Still to come").wait_for(state="detached")
    page.locator("[data-testid=stStatusWidget]").wait_for(state="detached")
    area = page.locator(".js-plotly-plot").last.locator(".nsewdrag").first
    area.scroll_into_view_if_needed()
    return area


def _note(outside: list[str], url: str) -> None:
    if not url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")):
        outside.append(url)
