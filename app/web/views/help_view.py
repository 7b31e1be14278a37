"""Help: the words of the workbench, its errors, and whether everything is in order."""

import streamlit as st

from app.panels.help_panel import show_concepts, show_doctor, show_errors, show_first_steps


def main() -> None:
    """Draw the page."""
    st.markdown("## Help")
    steps, concepts, errors, doctor = st.tabs(["First steps", "Concepts", "Errors", "Doctor"])
    with steps:
        show_first_steps()
    with concepts:
        show_concepts()
    with errors:
        show_errors()
    with doctor:
        show_doctor()


main()
