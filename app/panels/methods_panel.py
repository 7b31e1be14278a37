"""Every method that measures the tokens of one text, each at work until it is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.panels.jobs import JOBS
from app.panels.run_panel import progress_words, stored
from app.panels.session import store
from app.panels.wording import plain_markdown
from workbench.errors import WorkbenchError
from workbench.result.grid import Grid, grids_of
from workbench.runs.expected import is_stored
from workbench.runs.run import Run
from workbench.runs.spec import RunSpec
from workbench.runs.text_grid import joined_grid


@dataclass(frozen=True, kw_only=True, eq=False)
class Method:
    """One method of the page: its run once that is stored, and until then how far it is."""

    name: str
    run: Run | None = None
    state: str = ""
    live_id: str = ""


def method_of(name: str, spec: RunSpec, model: Any = None) -> Method:
    """Begin a run the first time this session asks for it, and say how far it is every time."""
    known: dict[str, str] = st.session_state.setdefault("run ids", {})
    try:
        if spec.hash not in known:
            known[spec.hash] = JOBS.start(spec, store(), model=model)
        run_id = known[spec.hash]
        job = JOBS.find(run_id)
        if job is not None and job.is_live:
            return Method(name=name, state=progress_words(job), live_id=run_id)
        if job is not None and job.failure is not None and run_id not in store():
            return Method(name=name, state=job.failure.message)
        run = stored(run_id)
    except WorkbenchError as error:
        return Method(name=name, state=error.message)
    return Method(name=name, run=run, state=run.failure.message if run.failure else "")


def is_known(spec: RunSpec) -> bool:
    """Whether this session asked for a run, or the store held it when the session first looked."""
    known: dict[str, str] = st.session_state.setdefault("run ids", {})
    looked: dict[str, bool] = st.session_state.setdefault("stored before", {})
    if spec.hash not in looked:
        looked[spec.hash] = is_stored(spec, store())
    return spec.hash in known or looked[spec.hash]


def grid_of(methods: Sequence[Method]) -> Grid | None:
    """Return everything measured so far over one grid, None before anything is."""
    parts: dict[str, Grid] = {}
    for method in methods:
        if method.run is None or method.run.result is None:
            continue
        _, grid = _first_grid(method.run)
        if grid is not None:
            parts[method.name] = grid
    return joined_grid(parts) if parts else None


@st.cache_resource(show_spinner=False, max_entries=64, hash_funcs={Run: id})
def _first_grid(run: Run) -> tuple[Run, Grid | None]:
    """Return the grid of a run, beside the run: while both are kept, its id is nobody else's."""
    grids = grids_of(run.result) if run.result is not None else ()
    return run, next(iter(grids), None)


def show_states(methods: Sequence[Method]) -> None:
    """Say which methods are still at work and which gave nothing; come back when one is done."""
    missing = [m for m in methods if m.run is None and not m.live_id]
    missing += [m for m in methods if m.run is not None and m.run.result is None]
    if missing:
        with st.expander(f"Not on this map: {', '.join(m.name for m in missing)}"):
            for method in missing:
                st.markdown(plain_markdown(f"{method.name}: {method.state}"))
    _watch({m.name: m.live_id for m in methods if m.live_id})


def _watch(live: Mapping[str, str]) -> None:
    if not live:
        return

    @st.fragment(run_every=1.2, key=f"methods {' '.join(live)}")
    def watching() -> None:
        jobs = [JOBS.find(run_id) for run_id in live.values()]
        if any(job is None or not job.is_live for job in jobs):
            st.rerun()
        words = " · ".join(progress_words(job) for job in jobs if job is not None)
        st.caption(plain_markdown(f"Still to come: {words}"))

    watching()
