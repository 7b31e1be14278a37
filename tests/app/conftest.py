"""The dashboard run without a browser, on a tiny model and a store of its own."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app.panels.jobs import JOBS
from app.panels.model_loading import LOADER
from workbench.runs.spec import ModelRef

ENTRY = Path(__file__).resolve().parents[2] / "app" / "web" / "entry.py"
TINY = ModelRef(name="tiny:llama")
TEXT = "the cat sat . the red dog ran to paris and saw the king ."

Open = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def no_cache() -> Iterator[None]:
    """Forget what an earlier test cached."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def open_page(store_path: Path) -> Iterator[Open]:
    """Return a function that opens a page with a tiny model, ready loaded."""
    LOADER.model(TINY).finished.wait(120)

    def opened(view: str = "", **query: str) -> AppTest:
        at = AppTest.from_file(str(ENTRY), default_timeout=60)
        at.query_params["model"] = "tiny:llama"
        at.query_params["prompt"] = query.pop("prompt", TEXT)
        for name, value in query.items():
            at.query_params[name] = value
        at.run()
        if view:
            at.switch_page(f"views/{view}_view.py").run()
        return at

    yield opened
    JOBS.stop_all()


def settle(at: AppTest, seconds: float = 60.0) -> AppTest:
    """Run the page again until no run is going on, as its fragments would in a browser."""
    deadline = time.monotonic() + seconds
    at.run()
    while JOBS.live() and time.monotonic() < deadline:
        for job in JOBS.live():
            JOBS.wait(job.run_id, 5)
        at.run()
    return at.run()


def html_of(at: AppTest) -> str:
    """Return all raw HTML of the page."""
    return "\n".join(str(e.proto.body) for e in at.get("html"))


def words_of(at: AppTest) -> str:
    """Return everything the page says in Markdown, captions and HTML."""
    parts = [e.value for e in (*at.markdown, *at.caption, *at.info, *at.warning)]
    return "\n".join([*map(str, parts), html_of(at)])


def strip_of(at: AppTest) -> str:
    """Return the HTML of the first token strip."""
    import json

    (first, *_) = at.get("bidi_component")
    data: Any = json.loads(first.proto.json)
    return str(data["html"])
