"""A probe on a page: what it asks, its options, its data, and what it will cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.panels.data_form import data_form
from app.panels.form_address import forget, keep, say_unknown, starting_number
from app.panels.forms import option_form
from app.panels.model_loading import LOADER
from app.panels.plugin_choice import choose, named
from app.panels.run_panel import begin
from app.panels.session import model_ref, store
from app.panels.wording import count, duration, page_words, plain_markdown
from workbench.methods.registry import Plugin, find, plugins
from workbench.options import build, plain
from workbench.runs.drivers import driver_of
from workbench.runs.expected import Cost, expected_cost
from workbench.runs.missing_weights import missing_weights
from workbench.runs.models import shared_model
from workbench.runs.spec import ModelRef, RunSpec
from workbench.runs.text_grid import not_offered

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
    missing = not_here()
    found = sorted(found, key=lambda plugin: plugin.name in missing)
    names = [plugin.name for plugin in found]
    wanted = _wanted(names)
    if wanted not in names:
        st.warning(plain_markdown(f"There is no probe {wanted!r}; choose one of those below."))
    summary = named(found)
    plugin = choose(
        st,
        "Probe",
        found,
        wanted,
        key=_CHOICE,
        on_change=_go_to_choice,
        format_func=lambda name: (
            f"{name} — not on this model" if name in missing else summary(name)
        ),
    )
    st.session_state["probe"] = plugin.name
    if plugin.name in missing:
        st.info(plain_markdown(f"Not on this model: {page_words(missing[plugin.name])}"))
    with st.expander("What it asks, and how it is computed", icon=":material/menu_book:"):
        for part in plugin.description.split("\n\n"):
            st.markdown(plain_markdown(part))
        st.caption(plain_markdown(f"Source: {plugin.source or 'not given'}"))
    return plugin


def not_here() -> dict[str, str]:
    """Return the probes that cannot run on the model at hand as they stand, each with why."""
    loading = LOADER.model(model_ref())
    return _missing(model_ref()) if loading.is_done and loading.failure is None else {}


@st.cache_resource(show_spinner=False, ttl=60)
def _missing(ref: ModelRef) -> dict[str, str]:
    model = shared_model(ref)
    return not_offered(model) | missing_weights(plugins("probe"), model)


def _go_to_choice() -> None:
    forget()
    st.query_params["probe"] = st.session_state[_CHOICE]


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
    say_unknown(plugin)
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
        name = f"work.{label.split()[0].lower()}"
        first = starting_number(name, value, least)
        found = int(
            place.number_input(label, value=first, min_value=least, step=1, key=f"{key} {label}")
        )
        keep(name, found, value)
        return found

    return number


def run_button(spec: RunSpec | None) -> None:
    """Draw the button that runs a spec, with what it will cost; the run opens on this page.

    What cannot run on this model as it stands is greyed.
    """
    is_bare = spec is not None and spec.kind == "probe" and not _is_changed(spec)
    greyed = is_bare and spec is not None and spec.name in not_here()
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        run = st.button(
            "Run", type="primary", disabled=spec is None or greyed, icon=":material/play_arrow:"
        )
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


def _is_changed(spec: RunSpec) -> bool:
    standard = plain(build(find(spec.kind, spec.name).recipe, {}))
    return any(value != standard.get(name) for name, value in spec.options.items())


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
