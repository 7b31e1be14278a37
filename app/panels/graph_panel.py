"""Graphs on a page: the fit, its verdict, sliders that ask it, and files to take away."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.panels.data_form import keep_upload
from app.panels.form_address import keep, say_unknown, starting_word
from app.panels.forms import option_form
from app.panels.plugin_choice import choose
from app.panels.problem_panel import show_failure
from app.panels.result_panel import show_result
from app.panels.run_panel import example, result_of
from app.panels.session import store
from workbench.errors import WorkbenchError
from workbench.methods.registry import Plugin
from workbench.options import OptionInfo
from workbench.result.graph import CapabilityGraph
from workbench.result.graph_files import FORMATS, write_graph
from workbench.runs.run import Failure, Run
from workbench.runs.spec import DataRef, RunSpec

_FIRST = "hierarchical"
_LARGEST_SHOCK = 3.0
_OURS, _PATH = "Those that ship with the package", "A file on this machine"
_SOURCES = (_OURS, _PATH, "Upload a file")
_ENDINGS = ["csv", "tsv", "txt", "json", "jsonl", "parquet"]


def fit_form(found: Sequence[Plugin]) -> RunSpec:
    """Draw the choice of method, table and options, and return the spec they describe."""
    first = starting_word("data.method", _FIRST, [plugin.name for plugin in found])
    plugin = choose(st, "Method", found, first)
    keep("data.method", plugin.name, _FIRST)
    path = _table()
    options: dict[str, Any] = {}
    for section, infos in sections(plugin.options).items():
        with st.expander(f"{section or 'Options'} ({len(infos)}, all with a default)"):
            options |= option_form(infos, key=f"discovery {plugin.name}")
    say_unknown(plugin)
    return RunSpec(
        kind="discovery",
        name=plugin.name,
        options=options,
        model=None,
        data=DataRef(path=path),
    )


def sections(options: Sequence[OptionInfo]) -> dict[str, list[OptionInfo]]:
    """Group options by the heading they belong under, those without one last."""
    found: dict[str, list[OptionInfo]] = {}
    for info in sorted(options, key=lambda info: not info.section):
        found.setdefault(info.section, []).append(info)
    return found


def _table() -> str:
    """Draw the choice of scores, one source at a time, and return their path, empty for ours."""
    first = starting_word("data.source", _OURS, _SOURCES)
    source = st.radio(
        "Scores", _SOURCES, index=_SOURCES.index(first), key="table source", horizontal=True
    )
    keep("data.source", source, _OURS)
    if source == _OURS:
        return ""
    if source == _PATH:
        path = st.text_input(
            "Table",
            value=starting_word("data.path", ""),
            placeholder="/data/scores.csv",
            help="Path of a CSV, TSV, JSON or Parquet file: one row per model or observation, "
            "numbers in columns. Separator, decimal sign and header are found out.",
            key="table path",
        )
        keep("data.path", path, "")
        return str(path).strip()
    uploaded = st.file_uploader("Table", type=_ENDINGS, key="table upload")
    if uploaded is None:
        return ""
    try:
        return str(keep_upload(uploaded.name, uploaded.getvalue()))
    except WorkbenchError as error:
        show_failure(Failure.of(error), heading="The file cannot be used")
        return ""


def run_to_ask() -> str | None:
    """Return the graph asked for on this page, else the latest in the store, else the example."""
    asked = st.query_params.get("run", "")
    found = [str(row["run_id"]) for row in store().find(kind="discovery").rows()]
    if asked:
        return asked
    hierarchical = [run_id for run_id in found if run_id.startswith(f"{_FIRST}-")]
    return next(iter(hierarchical or found or example("graph")), None)


def verdict(run: Run) -> None:
    """Say first whether the data fix the causal order."""
    graph = run.result.graph if run.result else None
    if graph is None or graph.identified is None:
        return
    if graph.identified:
        st.success("The data fix the causal order.", icon=":material/check_circle:")
    else:
        st.warning("The causal order is not identified by these data.", icon=":material/help:")


def can_be_asked(run: Run) -> bool:
    """Whether a run holds a graph that says what an intervention would do."""
    graph = run.result.graph if run.result else None
    return graph is not None and graph.method == _FIRST and bool(graph.order)


def ask_panel(run: Run) -> None:
    """Draw sliders that shock each capability, and what the graph says follows."""
    graph = run.result.graph if run.result else None
    if graph is None:
        return
    with st.container(border=True):
        st.markdown("**What if a capability were shocked?**")
        domain = st.selectbox("Base model", list(graph.facts.get("domains", [])))
        shocks = _sliders(graph)
        spec = RunSpec(
            kind="question",
            name="what-if",
            options={"domain": domain, "shock": shocks},
            model=None,
            graph=run.run_id,
        )
        answer = result_of(spec, key="what-if")
        if answer is not None and answer.result is not None:
            show_result(answer.result, key=f"ask {answer.run_id}", is_small=True)


def _sliders(graph: CapabilityGraph) -> tuple[str, ...]:
    shocks = []
    for i, name in enumerate(graph.order, start=1):
        size = st.slider(
            f"z{i} · {name}",
            -_LARGEST_SHOCK,
            _LARGEST_SHOCK,
            1.0 if i == 1 else 0.0,
            0.5,
            help="In standard deviations of the capability's own noise; 3 is the largest that "
            "models of the leaderboard show.",
            key=f"shock {i} {len(graph.order)}",
        )
        if size:
            shocks.append(f"z{i}={size:g}")
    return tuple(shocks) or ("z1=0",)


def export_buttons(run: Run) -> None:
    """Draw one download button per graph format."""
    graph = run.result.graph if run.result else None
    if graph is None:
        return
    st.markdown("**Take the graph away**")
    with st.container(horizontal=True):
        for kind in FORMATS:
            st.download_button(
                kind.upper() if kind != "graphml" else "GraphML",
                data=write_graph(graph, kind).encode(),
                file_name=f"{run.run_id}.{kind}",
                key=f"graph {run.run_id} {kind}",
                icon=":material/download:",
                on_click="ignore",
            )
