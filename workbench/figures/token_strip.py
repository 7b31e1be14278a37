"""Tokens in reading order, coloured by one quantity, as HTML that holds no foreign markup.

Everything that came from a model or a file is escaped, blanks and line ends show, marks that
reorder text are written out, and each token stands in its own `bdi`. Hovering or moving with the
arrow keys shows the exact values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.figures.glyphs import visible
from workbench.figures.scales import Limits, colour_limits
from workbench.figures.theme import ink_on, number, shades
from workbench.result.tables import Column, Table
from workbench.result.views import TokenStrip

STEPS = 48
_MARKED = ("<|", "<s>", "</s>", "<unk>", "<pad>", "<bos>", "<eos>", "[CLS]", "[SEP]", "[PAD]")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Strip:
    """What one group of rows needs to be written."""

    table: Table
    view: TokenStrip
    limits: Limits
    selected: int | None

    @property
    def classes(self) -> str:
        return "d" if self.limits.diverging else "s"


def strip_html(
    table: Table,
    view: TokenStrip,
    *,
    groups: Sequence[Any] | None = None,
    selected: int | None = None,
) -> str:
    """Return a strip as HTML without style or script.

    Args:
        table: one row per token, in reading order.
        view: which columns to show.
        groups: which values of the group column to show; None shows all.
        selected: the row number within its group that is marked from the start.

    Raises:
        UnknownName: the table lacks a column of the view.
    """
    named = (view.token, view.color, view.group, view.flag, view.badge, view.key, *view.rows)
    for column in filter(None, named):
        table[column]
    parts = _parts(table, view, groups)
    values = _numbers(pd.concat([part[view.color] for _, part in parts]) if parts else None)
    diverging = bool((values < 0).any() and (values > 0).any())
    limits = colour_limits(values, diverging=diverging)
    strip = _Strip(table=table, view=view, limits=limits, selected=selected)
    body = "".join(_group(strip, name, part) for name, part in parts)
    return (
        f'<div class="wb-strip">{_scale(strip)}{body}'
        '<div class="wb-said" aria-live="polite">'
        "Point at a token, or click one and move with the arrow keys.</div></div>"
    )


def strip_page(table: Table, view: TokenStrip, *, groups: Sequence[Any] | None = None) -> str:
    """Return a strip with its style and script, for a notebook or a saved page."""
    return (
        f"<div><style>{strip_style()}</style>{strip_html(table, view, groups=groups)}"
        f"<script>(() => {{ {strip_script()}\n"
        "wireStrip(document.currentScript.parentElement, null); })();</script></div>"
    )


@cache
def strip_style() -> str:
    """Return the style sheet of every strip, colours included."""
    rules = [
        f".wb-{name}{i}{{background:{colour.replace(' ', '')};color:{ink_on(colour)}}}"
        for name, diverging in (("s", False), ("d", True))
        for i, colour in enumerate(shades(STEPS, diverging=diverging))
    ]
    return _file("token_strip.css") + "".join(rules)


@cache
def strip_script() -> str:
    """Return the function `wireStrip(root, onSelect)` that gives a strip its hover and keys."""
    return _file("token_strip.js")


def is_special(token: str) -> bool:
    """Whether a token's text is one of the usual marks of a tokenizer rather than text."""
    return token.startswith(_MARKED) and token.rstrip().endswith((">", "]"))


def _file(name: str) -> str:
    return files("workbench.figures").joinpath(name).read_text(encoding="utf-8")


def _parts(
    table: Table, view: TokenStrip, groups: Sequence[Any] | None
) -> list[tuple[str, pd.DataFrame]]:
    if not view.group:
        return [("", table.frame)]
    wanted = None if groups is None else set(groups)
    return [
        (str(key), part)
        for key, part in table.frame.groupby(view.group, sort=False)
        if wanted is None or key in wanted
    ]


def _numbers(column: "pd.Series[Any] | None") -> NDArray[np.float64]:
    if column is None:
        return np.empty(0)
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _scale(strip: _Strip) -> str:
    ends, about = strip.limits, strip.table.columns.get(strip.view.color, Column())
    stops = ",".join(c.replace(" ", "") for c in shades(9, diverging=ends.diverging))
    below, above = "≤ " if ends.cut_low else "", "≥ " if ends.cut_high else ""
    name = escape(visible(strip.view.color.replace("_", " "), blanks=False))
    unit = f" ({escape(about.unit)})" if about.unit else ""
    keys = [f"below each token: {escape(', '.join(strip.view.rows))}"] if strip.view.rows else []
    if strip.view.flag:
        flag = escape(strip.view.flag.replace("_", " "))
        keys.append(f'<span class="wb-fl">underlined</span>: {flag}')
    return (
        f'<div class="wb-scale" title="{escape(about.help)}"><b>{name}</b>{unit} '
        f"<span>{below}{number(ends.low)}</span>"
        f'<i style="background:linear-gradient(to right,{stops})"></i>'
        f"<span>{above}{number(ends.high)}</span>"
        f'<span class="wb-key">{" · ".join(keys)}</span></div>'
    )


def _group(strip: _Strip, name: str, part: pd.DataFrame) -> str:
    head = f"<h5>{escape(_group_name(strip, name))}</h5>" if strip.view.group else ""
    marked = strip.table.frame.columns
    special = part["special"].tolist() if "special" in marked else None
    values = _numbers(part[strip.view.color])
    tokens = "".join(
        _token(strip, i, row, (values[i], special is None or bool(special[i])))
        for i, row in enumerate(part.to_dict("records"))
    )
    tokens = _row_names(strip) + tokens
    return (
        f'{head}<div class="wb-tokens" tabindex="0" role="group" '
        f'aria-label="{len(part)} tokens" data-group="{escape(name)}">{tokens}</div>'
    )


def _row_names(strip: _Strip) -> str:
    """Return the names of the rows below the tokens, at the head of the first line."""
    if not strip.view.rows:
        return ""
    names = "".join(f"<small>{escape(name.replace('_', ' '))}</small>" for name in strip.view.rows)
    return f'<span class="wb-cell wb-head"><span>token</span>{names}</span>'


def _group_name(strip: _Strip, name: str) -> str:
    return f"{strip.view.group.replace('_', ' ')} {visible(name, blanks=False)}"


def _token(strip: _Strip, i: int, row: dict[Any, Any], look: tuple[float, bool]) -> str:
    value, may_be_special = look
    view = strip.view
    text = str(row[view.token])
    names = ["wb-t"]
    known = np.isfinite(value)
    names.append(f"wb-{strip.classes}{strip.limits.step(value, STEPS)}" if known else "wb-none")
    if may_be_special and ("special" in row or is_special(text)):
        names.append("wb-sp")
    if view.flag and row[view.flag] in (True, 1):
        names.append("wb-fl")
    if i == strip.selected:
        names.append("wb-on")
    shown = escape(visible(text)) or "∅"
    span = (
        f'<span class="{" ".join(names)}" data-i="{i}" title="{_said(strip, i, row)}">'
        f"<bdi>{shown}</bdi></span>"
    )
    badge = _badge(row[view.badge]) if view.badge else ""
    if view.rows:
        below = "".join(f"<small><bdi>{_small(row[name])}</bdi></small>" for name in view.rows)
        span, badge = f'<span class="wb-cell">{span}{below}{badge}</span>', ""
    return span + badge + ("<br>" if text.endswith("\n") else "<wbr>")


def _badge(words: Any) -> str:
    if not words:
        return ""
    return f'<sup class="wb-bd">{escape(visible(str(words), blanks=False))}</sup>'


def _said(strip: _Strip, i: int, row: dict[Any, Any]) -> str:
    number_of = row[strip.view.key] if strip.view.key else i
    shown = [f"{number_of}  {visible(str(row[strip.view.token]))}"]
    for name in dict.fromkeys((strip.view.color, *strip.view.rows)):
        unit = strip.table.columns.get(name, Column()).unit
        words = f"{name.replace('_', ' ')} {_exact(row[name])} {unit}"
        shown.append(words.rstrip())
    return escape("   ".join(shown))


def _exact(value: Any) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else visible(str(value))


def _small(value: Any) -> str:
    if isinstance(value, float):
        return number(value) if not np.isfinite(value) else f"{value:.3g}"
    return escape(visible("–" if value is None else str(value)))
