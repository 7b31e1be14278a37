"""A model on a page: sizes, sites, norms at any of them, and attention patterns."""

from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from app.panels.figure_panel import show_figure
from app.panels.model_loading import LOADER
from app.panels.problem_panel import show_failure
from app.panels.run_panel import result_of
from app.panels.session import choose_model, model_ref, position, prompt
from app.panels.shell import ready
from app.panels.strip_panel import show_strip
from app.panels.table_panel import show_table
from app.panels.wording import amount, plain_html
from workbench.figures.heatmap import draw_matrix
from workbench.figures.theme import number
from workbench.result.tables import Column, Table
from workbench.result.views import TokenStrip
from workbench.runs.spec import DataRef, RunSpec

_BACKENDS = ("hooks", "transformer-lens", "nnsight")
_MEANING = {
    "embed": "token embedding",
    "resid_pre": "residual stream before a layer",
    "q": "queries, before rotary positions",
    "k": "keys, before rotary positions",
    "v": "values",
    "attn_pattern": "attention weights, one row per query",
    "z": "what each head reads, before it is mixed",
    "attn_out": "what attention adds to the stream",
    "resid_mid": "residual stream between attention and MLP",
    "mlp_out": "what the MLP adds to the stream",
    "resid_post": "residual stream after a layer",
    "final_norm": "residual stream after the final norm",
    "logits": "scores of the next token",
}


def choose_form() -> None:
    """Draw the choice of model and backend."""
    with st.expander("Look at another model", icon=":material/swap_horiz:"), st.form("model"):
        left, right = st.columns([3, 1])
        names = list(dict.fromkeys([model_ref().name, *_known_names()]))
        name = left.selectbox(
            "Model",
            names,
            accept_new_options=True,
            help="A name from the list, a hub id, a folder or a GGUF file.",
        )
        index = _BACKENDS.index(model_ref().backend) if model_ref().backend in _BACKENDS else 0
        backend = right.selectbox("Backend", _BACKENDS, index=index)
        if st.form_submit_button("Load") and name:
            choose_model(replace(model_ref(), name=str(name), backend=backend))
            st.rerun()


def _known_names() -> list[str]:
    # Listing models imports torch: before the plugins have, the list would hold up the page.
    if not LOADER.plugins().is_done:
        return []
    from workbench.model.catalog import available_models

    return [found.name for found in available_models()]


def show_facts(model: Any) -> None:
    """Draw the sizes and the identity of a model."""
    spec = model.spec
    sizes = {
        "layers": f"{spec.n_layers}",
        "width": f"{spec.d_model}",
        "heads": f"{spec.n_heads} × {spec.d_head}",
        "key and value heads": f"{spec.n_key_value_heads}",
        "MLP width": f"{spec.d_mlp}",
        "vocabulary": f"{spec.d_vocab:,}".replace(",", " "),
        "parameters": amount(spec.n_parameters),
        "longest text": f"{spec.max_positions:,} tokens".replace(",", " "),
    }
    boxes = "".join(
        '<div style="min-width:7.5rem"><div style="opacity:.7;font-size:.8rem">'
        f"{plain_html(name)}</div>"
        f'<div style="font-size:1.25rem;font-weight:600">{plain_html(value)}</div></div>'
        for name, value in sizes.items()
    )
    st.html(f'<div style="display:flex;flex-wrap:wrap;gap:.9rem 1.6rem">{boxes}</div>')
    facts = (
        f"{spec.architecture} · {spec.dtype} on {spec.device} · attention {spec.attention} · "
        f"backend {spec.backend} · weights sha256 {spec.weights_hash[:16]}…"
    )
    st.html(f'<p style="opacity:.75;font-size:.85rem">{plain_html(facts)}</p>')


def show_sites(model: Any) -> None:
    """List every site with what each backend can do there."""
    backends = {model.backend.name: model}
    if st.toggle("Ask all three backends", help="Loads the other two ways of reaching inside."):
        loading = LOADER.backends(model_ref())
        if not loading.is_done:
            ready(loading)
        elif loading.failure is not None:
            show_failure(loading.failure, heading="Not every backend could be asked")
        else:
            backends = loading.value
    show_table(site_table(model, backends), name="sites", key="model")


def site_table(model: Any, backends: dict[str, Any]) -> Table:
    """Return the sites of a model: address, shape, meaning, and reads and edits by backend."""
    from workbench.model.offers import site_offers
    from workbench.model.sites import Kind

    offers = {name: {o.kind: o for o in site_offers(one)} for name, one in backends.items()}
    rows = []
    for kind in Kind:
        row = {
            "address": f"{kind}.LAYER" if kind.has_layer else str(kind),
            "holds": _MEANING.get(str(kind), ""),
            "shape": _shape(str(kind), model.spec),
        }
        for name in backends:
            offer = offers[name][kind]
            pairs = (("read", offer.read), ("edit", offer.edit))
            row[name] = " · ".join(word for word, found in pairs if found.works) or "–"
        rows.append(row)
    help_text = "What this backend can do there, on this model."
    columns = {name: Column(help=help_text) for name in backends}
    columns["shape"] = Column(help="Axes of the activation; the batch stands before them.")
    return Table.from_rows(rows, columns)


def _shape(kind: str, spec: Any) -> str:
    heads = {"q": spec.n_heads, "k": spec.n_key_value_heads, "v": spec.n_key_value_heads}
    if kind == "attn_pattern":
        return f"head {spec.n_heads}, query, key"
    if kind in ("q", "k", "v", "z"):
        return f"position, head {heads.get(kind, spec.n_heads)}, {spec.d_head}"
    return f"position, {spec.d_vocab if kind == 'logits' else spec.d_model}"


def show_norms(model: Any) -> None:
    """Draw the text as a strip coloured by the norm at a chosen site and layer."""
    left, right = st.columns([1, 2])
    kinds = ("resid_post", "resid_mid", "resid_pre", "attn_out", "mlp_out")
    kind = left.selectbox("Site", kinds, help="Kind of activation.")
    last = model.spec.n_layers - 1
    layer = right.slider("Layer", 0, last, last // 2) if last else 0
    spec = RunSpec(
        name="token-trace",
        options={"site": kind, "longest": 256},
        model=model_ref(),
        data=DataRef(texts=(prompt(),)),
    )
    run = result_of(spec, key="norms")
    if run is None or run.result is None:
        return
    table = run.result.table("grid")
    part = Table(table.frame[table["layer"] == layer], table.columns)
    st.caption(f"Length of {kind} after layer {layer}, token by token." if kind == "resid_post"
               else f"Length of {kind} in layer {layer}, token by token.")  # fmt: skip
    view = TokenStrip(title="Norms", table="grid", token="token", color="norm")
    show_strip(part, view, key=f"norms {kind}", selected=position())


def show_attention(model: Any) -> None:
    """Draw the attention pattern of a chosen layer and head."""
    st.markdown("**Attention pattern**")
    left, right = st.columns(2)
    layers, heads = model.spec.n_layers, model.spec.n_heads
    layer = left.slider("Layer", 0, layers - 1, layers // 2, key="pattern layer")
    head = right.slider("Head", 0, heads - 1, 0, key="pattern head")
    spec = RunSpec(
        name="attention-pattern",
        options={"longest": 64},
        model=model_ref(),
        data=DataRef(texts=(prompt(),)),
    )
    run = result_of(spec, key="attention")
    if run is None or run.result is None:
        return
    pattern = run.result.arrays["pattern"][layer, head].astype(np.float64)
    words = [str(token) for token in run.result.table("tokens")["token"]]
    title = f"Attention of head {head} in layer {layer}"
    figure = draw_matrix(
        pattern, words, title=title, axes=("token that looks", "token looked at"), value="attention"
    )
    show_figure(figure, key="pattern")
    st.caption(_head_words(run.result.table("heads"), layer, head))


def _head_words(heads: Table, layer: int, head: int) -> str:
    frame = heads.frame
    row = frame[(frame["layer"] == layer) & (frame["head"] == head)].iloc[0]
    return (
        f"This head puts {number(row['to_first'])} of its attention on the first token "
        f"({number(row['to_first_uniform'])} if it looked everywhere alike) and "
        f"{number(row['to_previous'])} on the token before. Entropy {number(row['entropy'])} "
        f"nats (uniform: {number(row['entropy_uniform'])})."
    )
