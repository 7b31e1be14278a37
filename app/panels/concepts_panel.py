"""Effects of a concept on a page: what to explain, and one pair of texts under every explainer."""

import streamlit as st

from app.panels.figure_panel import show_figure
from app.panels.run_panel import example
from app.panels.session import model_ref, store
from app.panels.wording import plain_markdown
from workbench.figures.curves import draw_curve
from workbench.figures.theme import sized
from workbench.result.tables import Table
from workbench.result.views import Curve
from workbench.runs.run import Run
from workbench.runs.spec import SHIPPED, DataRef, RunSpec

PROBE = "concept-effect"
_OURS = f"{SHIPPED}concept_sentences.jsonl"
_FIRST = ("true", "interchange", "swap", "erase", "match", "random subspaces")


def concept_form() -> RunSpec | None:
    """Draw the choice of texts and concept; return what to run once it is asked for."""
    with st.form("concepts", border=False):
        a, b, c, d, e = st.columns([6, 4, 4, 3, 4], vertical_alignment="bottom")
        path = a.selectbox(
            "Texts",
            (_OURS,),
            accept_new_options=True,
            help="Those that ship, or a file with text, group and a field for each concept.",
        )
        concept = b.text_input("Concept", "food", help="Field with its values.")
        controls = c.text_input("Controls", "service", help="Fields that stay; commas between.")
        pairs = d.number_input("Pairs", value=24, min_value=2, max_value=1000)
        asked = e.form_submit_button("Explain", type="primary")
    if not asked or not path or not concept.strip():
        return None
    options = {
        "concept": concept.strip(),
        "controls": [name.strip() for name in controls.split(",") if name.strip()],
        "pairs": int(pairs),
    }
    data = DataRef(path=path, group="group")
    return RunSpec(name=PROBE, options=options, model=model_ref(), data=data)


def latest_effect() -> str:
    """Return the run asked for on this page, else the latest one, else the example."""
    rows = store().find(kind="probe", name=PROBE).rows()
    found = [str(row["run_id"]) for row in rows]
    return st.query_params.get("run", "") or next(iter(found or example("concepts")), "")


def pair_panel(run: Run) -> None:
    """Draw one pair: both texts, and what each explainer says of the change at every layer."""
    if run.result is None:
        return
    pairs, explained = (run.result.table(name) for name in ("pairs", "explained"))
    with st.container(border=True):
        st.markdown("**One pair, and what each explainer says of it**")
        shown = list(dict.fromkeys(explained["pair"].tolist()))
        words = {
            row[
                "pair"
            ]: f"{row['pair']}: {row['value']} to {row['wanted']}, moved by {row['size']:.2g}"
            for row in pairs.rows()
        }
        pair = st.selectbox("Pair", shown, format_func=words.__getitem__)
        answers = list(dict.fromkeys(explained["answer"].tolist()))
        answer = st.selectbox("Answer", answers)
        (row,) = [row for row in pairs.rows() if row["pair"] == pair]
        for label, text in (("Before", row["source"]), ("After", row["target"])):
            st.caption(plain_markdown(f"{label}: {text}"))
        known = list(dict.fromkeys(explained["explainer"].tolist()))
        names = st.multiselect("Explainers", known, [n for n in _FIRST if n in known])
        _curves(explained, pair, answer, names)


def _curves(explained: Table, pair: int, answer: str, names: list[str]) -> None:
    frame = explained.frame
    is_shown = (frame["pair"] == pair) & (frame["answer"] == answer)
    table = Table(frame[is_shown & frame["explainer"].isin(names)], explained.columns)
    if not len(table):
        st.caption("Choose an explainer.")
        return
    view = Curve(
        title=f"Change of “{answer}”",
        table="explained",
        x="layer",
        y=("effect",),
        group="explainer",
    )
    figure = sized(draw_curve(table, view), 340, legend_lines=3)
    show_figure(figure, key="concept pair", alt="Effect that each explainer gives this pair")
