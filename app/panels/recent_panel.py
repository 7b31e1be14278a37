"""The latest runs, as a short list with links."""

import streamlit as st

from app.panels.problem_panel import show_problem
from app.panels.session import store
from app.panels.wording import plain_markdown, short
from workbench.errors import WorkbenchError

_SHOWN = 8
_MARKS = {
    "partial": " · partial",
    "interrupted": " · stopped",
    "failed": " · failed",
}


def show_recent() -> None:
    """List the latest runs; an empty store says how to fill it."""
    st.markdown("**Recent runs**")
    try:
        rows = store().find().rows()[:_SHOWN]
    except WorkbenchError as error:
        show_problem(error)
        return
    if not rows:
        st.caption("None yet. What you look at is kept here.")
    for row in rows:
        when = str(row["created"] or "")[:16].replace("T", " ")
        st.page_link(
            "views/runs_view.py",
            label=plain_markdown(str(row["name"] or row["run_id"])),
            query_params={"run": str(row["run_id"])},
            help=plain_markdown(str(row["summary"] or row["status"])),
        )
        st.caption(
            plain_markdown(
                f"{when}{_MARKS.get(str(row['status']), '')} · "
                f"{short(str(row['summary'] or ''), 70)}"
            )
        )
