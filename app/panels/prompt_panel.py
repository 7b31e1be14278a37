"""Everything about one text: the strip, three small figures, and what each layer would say."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from app.panels.figure_panel import show_figure
from app.panels.run_panel import result_of
from app.panels.session import choose_position, model_ref, position
from app.panels.strip_panel import show_strip
from app.panels.wording import plain_html, plain_markdown
from workbench.figures.curves import draw_curve
from workbench.figures.glyphs import visible
from workbench.figures.heatmap import draw_heatmap
from workbench.figures.theme import marked, sized
from workbench.result.result import Result
from workbench.result.tables import Column, Table
from workbench.result.views import Curve, Heatmap, TokenStrip
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, ModelRef, RunSpec

LONGEST = 64
_SMALL, _WIDTH = 340, 328
_COLOURS = {
    "surprisal": "Surprise: how unexpected each token is, given what stands before it",
    "entropy": "Uncertainty: how open the model is about the token that comes next",
    "norm": "Length of the residual stream at each token, after the last layer",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Quick:
    """The two quick runs of one prompt, as far as they are done."""

    trace: Run | None = None
    lens: Run | None = None


def quick_specs(text: str, ref: ModelRef) -> tuple[RunSpec, RunSpec]:
    """Return what the first page runs: the token trace and the logit lens of one text."""
    data = DataRef(texts=(text,))
    trace = RunSpec(name="token-trace", options={"longest": LONGEST}, model=ref, data=data)
    lens = RunSpec(
        name="logit-lens",
        options={"every": 4, "controls": 2, "skip_first": False, "shown": 24},
        model=ref,
        data=data,
        max_tokens=LONGEST,
    )
    return trace, lens


def quick_runs(text: str) -> Quick:
    """Start the quick runs of a text, or find them; draw progress or problems meanwhile.

    The lens waits for the trace: two runs at once would make both late.
    """
    first, second = quick_specs(text, model_ref())
    trace = result_of(first, key="quick trace")
    return Quick(trace=trace, lens=result_of(second, key="quick lens") if trace else None)


def show_quick(quick: Quick) -> None:
    """Draw what the quick runs found."""
    trace = quick.trace.result if quick.trace else None
    lens = quick.lens.result if quick.lens else None
    if trace is not None:
        st.html(f'<p style="font-size:1.15rem;font-weight:600">{plain_html(trace.summary)}</p>')
        _strip(trace)
        _said(trace, lens)
    with st.container(horizontal=True, gap="small"):
        if trace is not None:
            with st.container(width=_WIDTH):
                _along(trace)
            with st.container(width=_WIDTH):
                _lengths(trace)
        if lens is not None:
            with st.container(width=_WIDTH):
                _distance(lens)
    if lens is not None:
        _predictions(lens)


def _strip(trace: Result) -> None:
    colour = st.segmented_control(
        "Colour",
        list(_COLOURS),
        default="surprisal",
        required=True,
        key="strip colour",
        label_visibility="collapsed",
    )
    st.caption(f"{_COLOURS[colour]}. Orange underline: the end of a sentence.")
    view = TokenStrip(
        title="Tokens", table="tokens", token="token", color=colour, flag="ends_sentence"
    )
    show_strip(trace.table("tokens"), view, key=f"prompt strip {colour}", selected=position())


def chosen_row(trace: Result) -> "pd.Series | None":
    """Return the row of the chosen position, None when nothing is chosen."""
    frame, index = trace.table("tokens").frame, position()
    return None if index is None or index >= len(frame) else frame.iloc[index]


def _said(trace: Result, lens: Result | None) -> None:
    row = chosen_row(trace)
    if row is None:
        st.caption("Choose a token: every figure below will show that position.")
        return
    words = f"Token {row['position']} “{visible(row['token'])}”"
    if not pd.isna(row["surprisal"]):
        words += f" came with {row['surprisal']:.3g} nats of surprise."
    else:
        words += " is the first: nothing stands before it."
    words += (
        f" Next, the model finds “{visible(row['best_next'])}” most likely "
        f"(probability {row['best_next_probability']:.2g}; entropy {row['entropy']:.3g} nats)."
    )
    left, right = st.columns([6, 1], vertical_alignment="center")
    left.markdown(plain_markdown(words))
    right.button("Clear choice", on_click=lambda: choose_position(None), key="clear position")


def _along(trace: Result) -> None:
    view = Curve(
        title="Surprise along the text",
        table="tokens",
        x="position",
        y=("surprisal", "entropy"),
        control=("surprisal_shuffled",),
    )
    figure = sized(draw_curve(trace.table("tokens"), view), _SMALL, legend_lines=3)
    show_figure(marked(figure, position()), key="along")
    st.caption("Grey, dashed: surprisal of the same tokens in random order.")


def _lengths(trace: Result) -> None:
    table, chosen = trace.table("layers"), position()
    y: tuple[str, ...] = ("norm",)
    if chosen is not None:
        norms = trace.table("grid").frame
        here = norms.loc[norms["position"] == chosen, "norm"].tolist()
        if len(here) == len(table):
            y = ("norm", "norm_here")
            unit = Column(unit="activation units", help="Length at the chosen token.")
            table = Table(table.frame.assign(norm_here=here), {**table.columns, "norm_here": unit})
    view = Curve(
        title="Length of the residual stream",
        table="layers",
        x="layer",
        y=y,
        control=("norm_shuffled",),
    )
    show_figure(sized(draw_curve(table, view), _SMALL, legend_lines=3), key="lengths")
    st.caption("Mean over tokens but the first. Grey, dashed: random order.")


def _distance(lens: Result) -> None:
    view = Curve(
        title="Distance from the final answer",
        table="layers",
        x="layer",
        y=("kl",),
        control=("kl_random", "kl_shuffled"),
    )
    show_figure(
        sized(draw_curve(lens.table("layers"), view), _SMALL, legend_lines=3), key="distance"
    )
    st.caption("Logit lens, KL. Grey, dashed: random vectors, and states of other tokens.")


def _predictions(lens: Result) -> None:
    view = next((v for v in lens.views if isinstance(v, Heatmap)), None)
    if view is None:
        return
    show_figure(marked(draw_heatmap(lens, view), position()), key="predictions")
    st.caption(
        "Each cell: the token that layer would say next, if the model stopped there; "
        "colour: how sure it is. The last row is what the model says. First 24 tokens."
    )
