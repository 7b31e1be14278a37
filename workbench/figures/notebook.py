"""The charts of a result as HTML that needs no server and no network."""

from html import escape

from workbench.figures.draw import draw, draw_all
from workbench.figures.glyphs import visible
from workbench.figures.token_strip import strip_page
from workbench.result.result import Result
from workbench.result.views import TokenStrip

_CONFIG = {"displaylogo": False, "typesetMath": False}


def charts_html(result: Result) -> str:
    """Return every view of a result in order, strips as living text; plotly is inside, once."""
    parts: list[str] = []
    has_script = False
    for view in result.views or (None,):
        if isinstance(view, TokenStrip):
            title = escape(visible(view.title, blanks=False))
            parts.append(f"<h4>{title}</h4>{strip_page(result.table(view.table), view)}")
            continue
        for figure in draw_all(result) if view is None else [draw(result, view)]:
            parts.append(
                figure.to_html(full_html=False, include_plotlyjs=not has_script, config=_CONFIG)
            )
            has_script = True
    return "".join(parts)
