"""Batches that another process is computing, followed live."""

import time

import streamlit as st

from app.panels.session import store
from app.panels.wording import plain_markdown
from workbench.batch.folder import DONE, PLAN
from workbench.batch.monitor import BatchMonitor
from workbench.errors import WorkbenchError


def show_batches() -> None:
    """Show how far every unfinished batch of the store is, anew every two seconds."""
    if _unfinished():
        _follow()


@st.fragment(run_every=2.0)
def _follow() -> None:
    for name in _unfinished():
        plan = store().folder / "batches" / name / PLAN
        try:
            sight = _watcher(str(store().folder), name, plan.stat().st_mtime_ns).look(time.time())
        except (WorkbenchError, OSError) as error:
            words = error.message if isinstance(error, WorkbenchError) else str(error)
            st.caption(plain_markdown(f"batch {name}: {words}"))
            continue
        share = min(1.0, sight.rows / max(1, sight.n_rows))
        st.progress(share, text=plain_markdown(f"batch {sight}"))


def _unfinished() -> list[str]:
    plans = (store().folder / "batches").glob(f"*/{PLAN}")
    return sorted(plan.parent.name for plan in plans if not (plan.parent / DONE).exists())


@st.cache_resource(show_spinner=False, max_entries=16)
def _watcher(folder: str, name: str, version: int) -> BatchMonitor:
    # Counting the rows of a large file takes a while: once for each version of the plan.
    return BatchMonitor.of(store(), name)
