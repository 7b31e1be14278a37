"""Errors as a person should meet them: what happened, what to try, where to read on."""

import logging

import streamlit as st

from app.panels.wording import page_words, plain_html
from workbench.errors import WorkbenchError
from workbench.runs.run import Failure

log = logging.getLogger(__name__)


def show_problem(error: BaseException) -> None:
    """Show an error; one that nobody foresaw is logged with its traceback as well."""
    if not isinstance(error, WorkbenchError):
        log.error("unexpected error on a page", exc_info=error)
    show_failure(Failure.of(error))


def show_failure(failure: Failure, *, heading: str = "") -> None:
    """Show why something did not work."""
    hint = f"<p><b>Try:</b> {plain_html(page_words(failure.hint))}</p>" if failure.hint else ""
    head = f"<p><b>{plain_html(heading)}</b></p>" if heading else ""
    st.html(
        '<div role="alert" style="border-left:4px solid #D55E00;padding:.4rem .9rem;'
        f'background:rgba(213,94,0,.09);border-radius:4px">{head}'
        f"<p>{plain_html(page_words(failure.message))}</p>{hint}"
        f'<p style="opacity:.75;font-size:.85em">Error code '
        f"<code>{plain_html(failure.code)}</code> — explained under "
        '<a href="help" target="_self">Help</a>.</p></div>'
    )
