"""What surrounds every page: the model's name and state, and the runs that are going on."""

import streamlit as st

from app.panels.jobs import JOBS
from app.panels.model_loading import LOADER, Loading
from app.panels.problem_panel import show_failure
from app.panels.run_panel import show_progress
from app.panels.session import model_ref
from app.panels.wording import amount, duration, plain_markdown

_FEW = 3
_WARM = "first loads take a few seconds; the page stays usable meanwhile"


# The standard page keeps a tenth of the screen empty on either side.
_STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding: 4.2rem 2.5rem 4rem; }
[data-testid="stMainBlockContainer"] h2 { font-size: 1.7rem; padding-top: 0; }
@media (max-width: 1100px) {
  [class*="st-key-leading"] [data-testid="stColumn"] { min-width: 100%; }
}
@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] { padding: 4.2rem 1rem 4rem; }
  [class*="st-key-wide"] { overflow-x: auto; }
  [class*="st-key-wide"] > * { min-width: 40rem; }
}
</style>"""


def sidebar() -> None:
    """Draw the side of every page and begin to load the model."""
    st.html(_STYLE)
    loading = LOADER.model(model_ref())
    with st.sidebar:
        _model(loading)
        _runs()


def ready(loading: Loading) -> bool:
    """Return whether something is loaded; if not, say so on the page and come back to it.

    A load that failed is shown with its reason and a button to try again.
    """
    if loading.is_done and loading.failure is None:
        return True
    if loading.failure is not None:
        show_failure(loading.failure, heading=f"{loading.what} could not be loaded")
        st.button("Try again", on_click=lambda: LOADER.forget(model_ref()), key="load again")
        return False
    _wait_for(loading)
    return False


def _wait_for(loading: Loading) -> None:
    @st.fragment(run_every=0.8, key=f"loading {loading.what}")
    def waiting() -> None:
        if loading.is_done:
            st.rerun()
        st.info(
            plain_markdown(f"Loading {loading.what} · {duration(loading.seconds)} · {_WARM}."),
            icon=":material/hourglass:",
        )

    waiting()


def _model(loading: Loading) -> None:
    @st.fragment(run_every=None if loading.is_done else 1.5, key="side model")
    def facts() -> None:
        ref = model_ref()
        st.markdown("**Model**")
        st.markdown(f"`{ref.name.replace('`', '')}`")
        if loading.failure is not None:
            st.caption("could not be loaded")
        elif not loading.is_done:
            st.caption(f"loading · {duration(loading.seconds)}")
        else:
            spec = loading.value.spec
            st.caption(
                plain_markdown(
                    f"{spec.n_layers} layers · width {spec.d_model} · "
                    f"{amount(spec.n_parameters)} parameters · {spec.dtype} on {spec.device} "
                    f"· backend {spec.backend}"
                )
            )

    facts()


def _runs() -> None:
    @st.fragment(run_every=1.0 if JOBS.live() else None, key="side runs")
    def going_on() -> None:
        live = JOBS.live()
        if live:
            st.markdown("**Going on**")
        waiting = sum(job.state == "waiting" for job in live)
        for job in live:
            if job.state != "waiting" or job.is_stopping or waiting < _FEW:
                show_progress(job, key="side", narrow=True)
        if waiting >= _FEW:
            st.caption(f"{waiting} more wait for these to end")

    going_on()
