"""A table behind a figure: sortable, with units, and to take away in three formats."""

import io
import json
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from workbench.figures.glyphs import cell_text, visible
from workbench.figures.theme import number
from workbench.result.tables import Column, Table

_MOST_ROWS, _MOST_LINES = 5000, 14


def show_table(table: Table, *, name: str, key: str, whole: Table | None = None) -> None:
    """Show a table whose columns sort by a click, and its downloads (of `whole` where given)."""
    frame, config = shown_frame(_page(table, f"{key} page {name}"))
    st.dataframe(
        frame,
        hide_index=True,
        column_config=config,
        key=f"{key} table {name}",
        placeholder="–",
        height=min(len(frame) + 1, _MOST_LINES) * 35 + 3,
    )
    left, middle, right = st.columns(3)
    downloads = (
        (left, "Parquet", "parquet", as_parquet, "application/vnd.apache.parquet"),
        (middle, "CSV", "csv", as_csv, "text/csv"),
        (right, "JSON", "json", as_json, "application/json"),
    )
    for place, word, ending, write, mime in downloads:
        place.download_button(
            word,
            data=partial(write, whole or table),
            file_name=f"{name}.{ending}",
            mime=mime,
            key=f"{key} {name} {ending}",
            icon=":material/download:",
            on_click="ignore",
            width="stretch",
        )


def _page(table: Table, key: str) -> Table:
    # Only the rows on show are read, however long the table is.
    if len(table) <= _MOST_ROWS:
        return table
    place, words = st.columns([1, 4], vertical_alignment="bottom")
    n_pages = -(-len(table) // _MOST_ROWS)
    page = int(place.number_input("Page", min_value=1, max_value=n_pages, key=key))
    first = (page - 1) * _MOST_ROWS
    last = min(first + _MOST_ROWS, len(table))
    words.caption(
        f"Rows {first + 1:,} to {last:,} of {len(table):,}. A click on a column sorts these rows; "
        "downloads hold all."
    )
    return table.page(first, _MOST_ROWS)


def shown_frame(table: Table) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the frame as it is shown, and how each column is headed and written."""
    frame = table.frame.copy()
    config: dict[str, Any] = {}
    for name in frame.columns:
        about = table.columns.get(name, Column())
        title = visible(table.label(str(name)), blanks=False)
        if pd.api.types.is_float_dtype(frame[name]):
            config[name] = st.column_config.NumberColumn(
                title, help=about.help or None, format=_format(table, str(name))
            )
        elif pd.api.types.is_numeric_dtype(frame[name]):
            config[name] = st.column_config.Column(title, help=about.help or None)
        else:
            frame[name] = [None if v is None else cell_text(str(v)) for v in frame[name]]
            config[name] = st.column_config.TextColumn(title, help=about.help or None)
    return frame, config


def as_parquet(table: Table) -> bytes:
    """Write the whole table as Parquet."""
    stream = io.BytesIO()
    table.frame.to_parquet(stream, index=False)
    return stream.getvalue()


def as_csv(table: Table) -> bytes:
    """Write the whole table as CSV, missing cells empty."""
    return table.frame.to_csv(index=False).encode()


def as_json(table: Table) -> bytes:
    """Write the whole table as a JSON list of rows, missing cells null."""
    return json.dumps(table.rows(), ensure_ascii=False, indent=1).encode()


def _format(table: Table, name: str) -> str:
    # As many digits as the narrowest interval of the column allows, four significant otherwise.
    about = table.columns.get(name, Column())
    low, high = about.low, about.high
    for other in table.columns.values():
        if name in (other.low, other.high):
            low, high = other.low, other.high
    if low in table.frame and high in table.frame:
        widths = (table.frame[high] - table.frame[low]).dropna()
        widths = widths[widths > 0]
        if len(widths):
            typical = float(widths.median())
            digits = number(0.0, 0.0, typical).partition(".")[2]
            return f"%.{len(digits)}f"
    values = table.frame[name].abs().dropna()
    if len(values) and (values.max() >= 1e5 or 0 < values[values > 0].min() < 1e-4):
        return "%.3e"
    return "%.4g"
