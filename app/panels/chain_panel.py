"""One chain of latent inputs on a page: think, look inside every step, change one thing."""

import streamlit as st

from app.panels.forms import option_form, option_widget
from app.panels.result_panel import show_run
from app.panels.run_panel import begin, example, finished, say_example
from app.panels.session import model_ref, position, prompt, store
from app.panels.wording import plain_markdown
from workbench.methods.registry import Plugin
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, RunSpec

TRACE = "hybrid-trace"
_GATED = "hrpo"
_SUM = "25+5+18="
_TOKENS = 40
_ASKED_APART = ("method", "interventions", "step", "tokens")
PLACES = ("Problems of a task", "Inside one latent chain")
PLACE = "reason place"
_METHOD = "inside method"


def chain_form(plugin: Plugin) -> RunSpec | None:
    """Draw prompt, method and the one change; return the run, None without a prompt."""
    info = {option.name: option for option in plugin.options}
    a, b, c = st.columns([2, 4, 1])
    with a:
        method = option_widget(info["method"], key=_METHOD)
    given = b.text_input(
        "Prompt",
        value=_SUM if method == _GATED else prompt(),
        key=_prompt_key(method),
        help="The gates that ship were taught sums such as this one.",
    )
    tokens = c.number_input("Tokens", value=_TOKENS, min_value=2, step=8, key="inside tokens")
    change, step = _change(method)
    with st.expander("More options"):
        rest = [option for name, option in info.items() if name not in _ASKED_APART]
        options = option_form(rest, key="inside")
    if not given.strip():
        st.caption("Write a prompt.")
        return None
    options |= {"method": method, "tokens": int(tokens), "interventions": change}
    if step is not None:
        options["step"] = step
    return RunSpec(name=TRACE, options=options, model=model_ref(), data=DataRef(texts=(given,)))


def _change(method: str) -> tuple[str, int | None]:
    from workbench.latent.named_changes import CHANGES

    a, b = st.columns([4, 1])
    names = [n for n, change in CHANGES.items() if method == _GATED or change.to_gate is None]
    change = a.selectbox(
        "Write the chain again with",
        names,
        format_func=lambda name: f"{name} — {CHANGES[name].words}",
        key=f"inside change {len(names)}",
    )
    if not CHANGES[change].has_step:
        return change, None
    chosen = position()
    step = b.number_input(
        "At step",
        value=chosen,
        min_value=0,
        step=1,
        placeholder="middle",
        help="Counted from 0; a token chosen in the chain is taken. Empty: half-way.",
        key=f"inside step {chosen}",
    )
    return change, None if step is None else int(step)


def think_button(spec: RunSpec | None) -> None:
    """Draw the button that starts the chain; it opens on this page."""
    pressed = st.button(
        "Think", type="primary", disabled=spec is None, icon=":material/psychology:"
    )
    if pressed and spec is not None:
        run_id = begin(spec)
        if run_id is not None:
            st.query_params["run"] = run_id


def show_chain() -> None:
    """Show the chain asked for on this page, else the latest one, else the example."""
    asked = st.query_params.get("run", "")
    found = [str(row["run_id"]) for row in store().find(kind="probe", name=TRACE).rows()]
    run_id = asked if is_chain(asked) else next(iter(found or example("chain")), "")
    run = finished(run_id, key="inside") if run_id else None
    if run is None:
        return
    st.divider()
    say_example(run.run_id, "Press Think to look into a chain of this model.")
    texts = run.spec.data.texts
    if texts and run.spec.model is not None:
        words = f"{run.spec.options.get('method', _GATED)} on {run.spec.model.name}: {texts[0]}"
        st.caption(plain_markdown(words))
    show_run(run)


def is_chain(run_id: str) -> bool:
    """Whether a run is one of these chains."""
    return run_id.startswith(f"{TRACE}-")


def look_inside(run: Run) -> None:
    """Offer the chains of a run in latent inputs, by the model at hand, to be looked into."""
    from workbench.methods.registry import find
    from workbench.sampling.task import open_task

    methods = next(o.choices for o in find("probe", TRACE).options if o.name == "method")
    if run.result is None or run.spec.name not in methods or run.spec.model != model_ref():
        return
    if open_task(run.spec.data.task).is_chat:
        return  # its prompts are wrapped in a chat template, which a plain text is not
    questions = list(run.result.table("problems")["question"])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        question = st.selectbox("Look inside the chain of", questions, key=f"look {run.run_id}")
        st.button(
            "Look inside",
            key=f"look inside {run.run_id}",
            icon=":material/search:",
            on_click=_go_inside,
            args=(run, question),
        )


def _go_inside(run: Run, question: str) -> None:
    method = run.spec.name
    st.session_state[PLACE] = PLACES[1]
    st.session_state[_METHOD] = method
    st.session_state[_prompt_key(method)] = question
    checkpoint = run.spec.options.get("checkpoint")
    if checkpoint:
        st.session_state["inside option checkpoint"] = checkpoint


def _prompt_key(method: str) -> str:
    return f"inside prompt {method}"
