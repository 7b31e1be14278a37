"""The token strip on a page: hover, arrow keys, and a chosen position that all views share."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.panels.session import choose_position
from workbench.figures.token_strip import strip_html, strip_script, strip_style
from workbench.result.tables import Table
from workbench.result.views import TokenStrip

STRIP = "strip metric"
_MOUNT = """
export default function(component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector("#strip");
  if (root.dataset.version !== data.version) {
    root.dataset.version = data.version;
    root.innerHTML = data.html;
    const tell = (position, group) => setTriggerValue("chosen", { position, group });
    root.mark = wireStrip(root, tell);
  }
  root.mark(data.selected);
}
"""

_COMPONENT = st.components.v2.component(
    "latent_workbench_token_strip",
    html='<div id="strip"></div>',
    css=strip_style(),
    js=strip_script() + _MOUNT,
)


def show_strip(
    table: Table,
    view: TokenStrip,
    *,
    key: str,
    groups: Sequence[Any] | None = None,
    selected: int | None = None,
) -> None:
    """Draw a strip; a token that is clicked or reached with the keys becomes the position.

    Everything in the HTML that did not come from this package was escaped by `strip_html`.
    """
    chosen = _drawn(strip_html(table, view, groups=groups), key, selected).chosen
    if chosen is not None and chosen["position"] != selected:
        choose_position(int(chosen["position"]))
        st.rerun()


def show_still_strip(table: Table, view: TokenStrip, *, key: str) -> None:
    """Draw a strip of other tokens than those of the page: what is chosen in it stays there."""
    _drawn(strip_html(table, view), key, None)


def _drawn(html: str, key: str, selected: int | None) -> Any:
    return _COMPONENT(
        key=key,
        data={"html": html, "version": f"{hash(html):x}", "selected": selected},
        on_chosen_change=lambda: None,
    )
