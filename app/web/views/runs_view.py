"""Runs: find one, open it, lay two side by side, take them away."""

import streamlit as st

from app.panels.batches_panel import show_batches
from app.panels.compare_panel import show_comparison
from app.panels.problem_panel import show_problem
from app.panels.result_panel import show_run
from app.panels.run_panel import finished, stored
from app.panels.runs_panel import choose_runs
from app.panels.wording import plain_markdown
from workbench.errors import WorkbenchError


def main() -> None:
    """Draw the page."""
    st.markdown("## Runs")
    show_batches()
    asked = st.query_params.get("run")
    chosen = choose_runs() or _compared()
    if len(chosen) == 2:
        st.query_params["compare"] = ",".join(chosen)
        _compare(chosen[0], chosen[1])
    elif len(chosen) > 2:
        st.info("Choose two runs to lay them side by side, or one to open it.")
    elif chosen or asked:
        run_id = chosen[0] if chosen else str(asked)
        st.divider()
        run = finished(run_id, key="runs")
        if run is not None:
            st.markdown(f"### `{run.run_id.replace('`', '')}`")
            show_run(run)


def _compared() -> list[str]:
    """Return the two runs that the address compares, none where it compares none."""
    asked = st.query_params.get("compare", "")
    found = [part for part in asked.split(",") if part]
    if asked and len(found) != 2:
        st.warning(plain_markdown(f"The address compares {asked!r}; expected two runs."))
        return []
    return found


def _compare(left: str, right: str) -> None:
    st.divider()
    try:
        pair = stored(left), stored(right)
    except WorkbenchError as error:
        show_problem(error)
        return
    show_comparison(pair)


main()
