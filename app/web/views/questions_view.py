"""Questions: causal questions with a computed answer, its proof, and the states behind one."""

import streamlit as st

from app.panels.grid_panel import show_map
from app.panels.methods_panel import grid_of, show_states
from app.panels.model_loading import LOADER
from app.panels.prompt_panel import methods_of
from app.panels.questions_panel import (
    PROBE,
    choose_question,
    latest_questions,
    question_form,
    show_question,
    show_warnings,
)
from app.panels.run_panel import begin, finished, say_example
from app.panels.session import model_ref
from app.panels.shell import ready
from app.panels.wording import plain_markdown


def main() -> None:
    """Draw the page."""
    st.markdown("## Causal questions whose answer is computed")
    if not ready(LOADER.plugins()) or not ready(LOADER.model(model_ref())):
        return
    spec = question_form()
    if spec is not None and (run_id := begin(spec)) is not None:
        st.query_params["run"] = run_id
    run_id = latest_questions()
    run = finished(run_id, key="questions") if run_id else None
    if run is None or run.result is None:
        return
    if run.spec.name != PROBE:
        st.info(f"The run {run_id} is one of {run.spec.name}: look at it on the page Runs.")
        return
    say_example(run.run_id, "Press Ask to let this model answer a dozen.")
    st.markdown(plain_markdown(run.result.summary))
    show_warnings(run.result)
    row = choose_question(run.result)
    if row is not None and "prompt" in row:
        show_question(row)
        _states(str(row["prompt"]))


def _states(prompt: str) -> None:
    """Draw the map of layers and tokens of a question, once it is asked for."""
    if not st.toggle("States of this question, layer by layer", key="states of question"):
        return
    methods = methods_of(prompt)
    grid = grid_of(methods)
    if grid is not None and grid.maps:
        show_map(grid)
    show_states(methods)


main()
