"""A probe on a page: what it asks, its options, its data, and what it will cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.panels.data_form import data_form
from app.panels.forms import option_form
from app.panels.plugin_choice import choose
from app.panels.run_panel import begin
from app.panels.session import model_ref, store
from app.panels.wording import count, duration, plain_markdown
from workbench.methods.registry import Plugin
from workbench.runs.drivers import driver_of
from workbench.runs.expected import Cost, expected_cost
from workbench.runs.spec import RunSpec

_FIRST = "isotropy"
_CHOICE = "choice of probe"


@dataclass(frozen=True, kw_only=True)
class Work:
    """The settings every run has, whatever it runs."""

    seed: int = 0
    resamples: int = 1000
    max_tokens: int = 1024
    batch_tokens: int = 2048


def choose_plugin(found: Sequence[Plugin]) -> Plugin:
    """Draw the choice of probe and what it asks."""
    names = [plugin.name for plugin in found]
    wanted = _wanted(names)
    if wanted not in names:
        st.warning(plain_markdown(f"There is no probe {wanted!r}; choose one of those below."))
    plugin = choose(st, "Probe", found, wanted, key=_CHOICE, on_change=_tell_address)
    st.session_state["probe"] = plugin.name
    with st.expander("What it asks, and how it is computed", icon=":material/menu_book:"):
        for part in plugin.description.split("\n\n"):
            st.markdown(plain_markdown(part))
        st.caption(plain_markdown(f"Source: {plugin.source or 'not given'}"))
    return plugin


def _tell_address() -> None:
    st.query_params.update({"probe": st.session_state[_CHOICE]})


def _wanted(names: Sequence[str]) -> str:
    asked = st.query_params.get("run", "")
    of_run = [name for name in names if asked.startswith(f"{name}-")]
    named = max(of_run, key=len, default=st.session_state.get("probe", _FIRST))
    return str(st.query_params.get("probe", named))


def probe_form(plugin: Plugin) -> RunSpec | None:
    """Draw the form of a probe and return the spec it describes, None while data is missing."""
    key = f"{plugin.kind} {plugin.name}"
    st.markdown("**Data**")
    driver = driver_of(plugin.recipe)
    data = data_form(key=key, takes_activations=driver.reads_activations)
    options: dict[str, Any] = {}
    if plugin.options:
        with st.expander(f"Options ({len(plugin.options)}, all with a default)"):
            options = option_form(plugin.options, key=key)
    work = _work_form(key)
    if data is None:
        return None
    return RunSpec(
        kind=plugin.kind,
        name=plugin.name,
        options=options,
        model=None if data.activations else model_ref(),
        data=data,
        **vars(work),
    )


def _work_form(key: str) -> Work:
    with st.expander("Seed, resamples and batches"):
        a, b, c, d = st.columns(4)
        number = _number_of(key)
        return Work(
            seed=number(a, "Seed", 0, 0),
            resamples=number(b, "Bootstrap resamples", 1000, 0),
            max_tokens=number(c, "Longest text (tokens)", 1024, 1),
            batch_tokens=number(d, "Tokens of one pass", 2048, 1),
        )


def _number_of(key: str) -> Callable[[Any, str, int, int], int]:
    def number(place: Any, label: str, value: int, least: int) -> int:
        return int(
            place.number_input(label, value=value, min_value=least, step=1, key=f"{key} {label}")
        )

    return number


def run_button(spec: RunSpec | None) -> None:
    """Draw the button that runs a spec, with what it will cost; the run opens on this page."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        run = st.button("Run", type="primary", disabled=spec is None, icon=":material/play_arrow:")
        again = st.checkbox(
            "Even if stored", help="Runs again although the store holds this very run."
        )
        if spec is not None:
            st.caption(plain_markdown(cost_words(expected_cost(spec, store()))), width="content")
    if spec is None:
        return
    if run:
        run_id = begin(spec, fresh=again)
        if run_id is not None:
            st.query_params["run"] = run_id
            st.query_params["probe"] = spec.name


def run_to_show(plugin: Plugin) -> str | None:
    """Return the run asked for on this page if it is one of this plugin, else the latest one."""
    asked = st.query_params.get("run", "")
    if asked.startswith(f"{plugin.name}-"):
        return asked
    found = store().find(kind=plugin.kind, name=plugin.name).rows()
    return str(found[0]["run_id"]) if found else None


def cost_words(cost: Cost) -> str:
    """Say what a run will cost before it is begun."""
    texts = count(cost.n_texts, "text") if cost.n_texts is not None else "all of the file"
    if cost.is_stored:
        return "The store holds this run already: it opens at once."
    if cost.seconds is None:
        return f"{texts}; no earlier run of this probe here says how long it will take"
    return f"{texts}; about {duration(cost.seconds)}, judging by the last run of this probe here"
