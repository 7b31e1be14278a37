"""Reasoners on a page: the task, who solves it, and their answers side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from app.panels.chain_panel import is_chain, look_inside
from app.panels.form_address import keep, say_unknown, starting_number, starting_word
from app.panels.forms import option_form
from app.panels.plugin_choice import choose, named
from app.panels.problem_panel import show_problem
from app.panels.result_panel import show_result, show_run
from app.panels.run_panel import begin, example, finished, say_example, stored
from app.panels.session import model_ref, store
from app.panels.wording import page_words, plain_markdown
from workbench.errors import WorkbenchError
from workbench.methods.registry import Plugin, plugins
from workbench.result.result import Result
from workbench.runs.examples import example_ids
from workbench.runs.missing_weights import missing_weights
from workbench.runs.models import shared_model
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, ModelRef, RunSpec

_TASK = "arithmetic"
_EXAMPLE = {"steps": 1, "largest": 30}
_PATH = "path"
_DRAWN, _FILE = "Drawn by the task", "From a file"
_REASONERS = ("no-cot", "cot")
_PROBLEMS = 12


def task_form(found: Sequence[Plugin]) -> DataRef:
    """Draw the choice of task, its options or its file, and how many problems to solve."""
    names = [plugin.name for plugin in found]
    usual = _TASK if _TASK in names else names[0]
    a, b, c = st.columns([3, 3, 1], vertical_alignment="bottom")
    plugin = choose(a, "Task", found, starting_word("data.task", usual, names))
    keep("data.task", plugin.name, usual)
    sources = (_DRAWN, _FILE) if any(o.name == _PATH for o in plugin.options) else (_DRAWN,)
    source = starting_word("data.problems", _DRAWN, sources)
    if len(sources) > 1:
        source = b.segmented_control(
            "Problems", sources, default=source, required=True, key="problems from"
        )
    keep("data.problems", source, _DRAWN)
    limit = c.number_input(
        "How many", value=starting_number("data.limit", _PROBLEMS, 1), min_value=1, step=1
    )
    keep("data.limit", limit, _PROBLEMS)
    return DataRef(task=_address(plugin, source), limit=int(limit or _PROBLEMS))


def _address(plugin: Plugin, source: str) -> str:
    """Return the task with the file or the options that its form was given."""
    if source == _FILE:
        path = st.text_input(
            "File of problems", value=starting_word("data.path", ""), key=f"file {plugin.name}"
        )
        keep("data.path", path, "")
        return f"{plugin.name}:{path.strip()}"
    infos = [info for info in plugin.options if info.name != _PATH]
    if not infos:
        return plugin.name
    first = _EXAMPLE if plugin.name == _TASK else {}
    shown = [replace(info, default=first.get(info.name, info.default)) for info in infos]
    with st.expander(f"Options of the problems ({len(infos)}, all with a default)"):
        values = option_form(shown, key=f"task {plugin.name}")
    usual = {info.name: _word(info.default) for info in infos}
    said = [f"{k}={_word(v)}" for k, v in values.items() if _word(v) != usual[k]]
    return f"{plugin.name}?{'&'.join(said)}" if said else plugin.name


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def reasoner_form(found: Sequence[Plugin], data: DataRef) -> list[RunSpec]:
    """Draw the choice of reasoners with their options, and return one spec for each."""
    names = [plugin.name for plugin in found]
    missing = _missing(model_ref())
    offered = [name for name in names if name not in missing]
    if missing:
        _greyed(missing)
        if st.toggle("Also those whose weights I name myself", key="own weights"):
            offered = names
    usual = [name for name in _REASONERS if name in names]
    asked = starting_word("data.reasoners", ",".join(usual)).split(",")
    unknown = [name for name in asked if name not in offered]
    if unknown:
        st.warning(plain_markdown(f"The address asks for what is not there: {', '.join(unknown)}."))
    chosen = st.multiselect(
        "Reasoners",
        offered,
        default=[name for name in asked if name in offered],
        format_func=named(found),
    )
    keep("data.reasoners", chosen, usual)
    specs = []
    for name in chosen:
        plugin = found[names.index(name)]
        with st.expander(plain_markdown(f"{name}: {len(plugin.options)} options, all set")):
            st.caption(plain_markdown(plugin.description.split("\n\n")[0]))
            options = option_form(plugin.options, key=f"reasoner {name}")
        say_unknown(plugin)
        specs.append(
            RunSpec(kind="reasoner", name=name, options=options, model=model_ref(), data=data)
        )
    return specs


def _greyed(missing: Mapping[str, str]) -> None:
    """Show what cannot run on this model, greyed, each with its reason."""
    for name, why in missing.items():
        st.checkbox(
            plain_markdown(f"{name}: {page_words(why)}"), disabled=True, key=f"greyed {name}"
        )


@st.cache_resource(show_spinner=False, ttl=60)
def _missing(ref: ModelRef) -> dict[str, str]:
    return missing_weights(plugins("reasoner"), shared_model(ref))


def solve_button(specs: Sequence[RunSpec]) -> None:
    """Draw the button that starts every spec; the runs open on this page."""
    if not st.button("Solve", type="primary", disabled=not specs, icon=":material/play_arrow:"):
        return
    ids = [run_id for spec in specs if (run_id := begin(spec)) is not None]
    if ids:
        st.query_params["run"] = ",".join(ids)


def runs_to_show() -> list[str]:
    """Return the runs asked for on this page, else the latest of a reasoner, else the example."""
    asked = st.query_params.get("run", "").split(",")
    asked = [part for part in asked if part and not is_chain(part)]
    if asked:
        return asked
    latest = [str(row["run_id"]) for row in store().find(kind="reasoner").rows()]
    own = [run_id for run_id in latest if run_id not in example_ids()]
    return own[:1] or list(example("problems"))


def show_solved(run_ids: Sequence[str]) -> None:
    """Show each run once it is done, and the comparison when there are several."""
    runs = [run for run_id in run_ids if (run := finished(run_id, key=run_id)) is not None]
    solved = [run for run in runs if run.result is not None]
    if not runs:
        return
    say_example(runs[0].run_id, "Press Solve to let this model solve problems of your choice.")
    names = _labels(runs)
    compared = len(solved) == len(run_ids) > 1
    places = st.tabs([*(["Side by side"] if compared else []), *map(plain_markdown, names)])
    if compared:
        with places[0]:
            _show_comparison(solved, names)
    for place, run in zip(places[compared:], runs, strict=True):
        with place:
            look_inside(run)
            show_run(run)


def _labels(runs: Sequence[Run]) -> list[str]:
    names = [run.spec.name for run in runs]
    return [
        run.run_id if names.count(name) > 1 else name for run, name in zip(runs, names, strict=True)
    ]


def _show_comparison(runs: Sequence[Run], names: Sequence[str]) -> None:
    ids = tuple(run.run_id for run in runs)
    try:
        result: Any = _compared(ids, tuple(names))
    except WorkbenchError as error:
        show_problem(error)
        return
    show_result(result, key=f"compare {' '.join(ids)}")


@st.cache_resource(show_spinner=False, max_entries=16)
def _compared(run_ids: tuple[str, ...], names: tuple[str, ...]) -> Result:
    from workbench.runs.chain_compare import compare_chains

    return compare_chains([stored(run_id) for run_id in run_ids], names)
