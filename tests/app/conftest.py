"""The dashboard run without a browser, on a tiny model and a store of its own."""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.components.v2.manifest_scanner import scan_component_manifests
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from app.panels.jobs import JOBS
from app.panels.model_loading import LOADER
from workbench.runs.run import Run
from workbench.runs.spec import ModelRef
from workbench.runs.store import Store

ENTRY = Path(__file__).resolve().parents[2] / "app" / "web" / "entry.py"
TINY = ModelRef(name="tiny:llama")
TEXT = "the cat sat . the red dog ran to paris and saw the king ."


class _Tokens(HTMLParser):
    """The tokens of a strip and what hovering over each says."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.said: list[str] = []
        self.tags: set[str] = set()
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = dict(attrs)
        if "wb-t" in (found.get("class") or "").split():
            self.said.append(found.get("title") or "")
        if tag == "bdi":
            self._inside = True
            self.words.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "bdi"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.words[-1] += data


class Page:
    """One open page and the store it writes to."""

    def __init__(self, at: AppTest, folder: Path) -> None:
        self.at = at
        self.store = Store(folder)

    def settle(self, seconds: float = 240.0) -> "Page":
        """Run the page again until no run is going on, as its fragments do in a browser."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            # What ended while the page was drawn may have let another one begin.
            begun, is_quiet = JOBS.begun, not JOBS.live()
            self.at.run()
            live = JOBS.live()
            for job in live:
                JOBS.wait(job.run_id, 5.0)
            if is_quiet and not live and begun == JOBS.begun:
                break
        assert not self.at.exception, [e.message for e in self.at.exception]
        return self

    def go(self, view: str) -> "Page":
        self.at.switch_page(f"views/{view}_view.py").run()
        return self.settle()

    @property
    def html(self) -> str:
        found = "\n".join(str(e.proto.body) for e in self.at.get("html"))
        return re.sub("</?strong>", "", found)

    @property
    def words(self) -> str:
        """Everything the page says in Markdown, captions, boxes and HTML."""
        at = self.at
        parts = [e.value for e in (*at.markdown, *at.caption, *at.info, *at.warning, *at.success)]
        return re.sub(r"\\(\W)", r"\1", "\n".join([*map(str, parts), self.html]))

    @property
    def strips(self) -> list[_Tokens]:
        found = self.at.get("bidi_component")
        return [_Tokens(json.loads(e.proto.json)["html"]) for e in found]

    @property
    def figures(self) -> list[dict[str, Any]]:
        found = self.at.get("plotly_chart")
        return [json.loads(e.proto.spec) for e in found]

    def figure(self, title: str) -> dict[str, Any]:
        """Return the figure of that title."""
        named = {f["layout"]["title"]["text"]: f for f in self.figures}
        return named[title]

    def press(self, label: str) -> "Page":
        (button,) = [b for b in self.at.button if b.label == label]
        button.click().run()
        return self.settle()

    def run(self, name: str) -> Run:
        """Return the latest stored run of a probe."""
        return self.store.get(self.store.find(name=name).rows()[0]["run_id"])


Open = Callable[..., Page]


@pytest.fixture(scope="session", autouse=True)
def one_scan() -> Iterator[None]:
    """Look through what is installed for components once, and not for every page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(scan_component_manifests))
        yield


@pytest.fixture(autouse=True)
def no_cache() -> Iterator[None]:
    """Forget what an earlier test cached."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture(scope="session")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that the first look at the text leaves, once there was one."""
    return tmp_path_factory.mktemp("looked") / "store"


@pytest.fixture
def open_page(store_path: Path, looked_at: Path) -> Iterator[Open]:
    """Return a function that opens a page with a tiny model, ready loaded.

    The first page of an empty store runs all quick methods; later ones find their runs stored.
    """
    loading = LOADER.model(TINY)
    loading.finished.wait(120)
    assert loading.failure is None

    def opened(view: str = "", **query: str) -> Page:
        if not view and looked_at.exists() and not store_path.exists():
            shutil.copytree(looked_at, store_path)
        at = AppTest.from_file(str(ENTRY), default_timeout=180)
        for name, value in {"model": "tiny:llama", "prompt": TEXT, **query}.items():
            at.query_params[name] = value
        if view:
            # What `switch_page` does, which needs a first run of another page.
            at._page_hash = calc_hash(view)
        page = Page(at, store_path).settle()
        if not view and not query and not looked_at.exists():
            shutil.copytree(store_path, looked_at)
        return page

    yield opened
    JOBS.stop_all()
