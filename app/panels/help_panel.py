"""What the words mean, what an error code says, and whether the installation is sound."""

import inspect
from typing import Any

import streamlit as st

from app.panels.model_loading import LOADER
from app.panels.table_panel import show_table
from app.panels.wording import plain_markdown
from workbench import errors
from workbench.result.tables import Column, Table

CONCEPTS = (
    ("Model", "A causal language model and its tokenizer behind one hook backend, able to run "
     "with reads and edits at named sites."),
    ("Site", "The typed address of an activation, written resid_post.5[-1]: the residual stream "
     "after layer 5 at the last token."),
    ("Edit", "An intervention as data: set, add, scale, ablate, project out or map affinely at a "
     "site."),
    ("Trace", "The record of one run of a model: tokens, logits and the activations asked for."),
    ("Probe", "A frozen recipe that says which sites it needs and what it reads from them."),
    ("Result", "What came out: estimates with unit and interval, tables, arrays, notes, views."),
    ("Run", "One executed spec with its status, its provenance and its result."),
    ("Store", "The folder that keeps runs, each found by the hash of its spec."),
    ("Estimate", "A number with its unit, its interval, how many independent units it rests on, "
     "and the same number under a null."),
    ("Interval", "The range that resampled texts (never tokens) put a number in, 95 % unless "
     "said otherwise."),
    ("Control", "The same measurement where there should be nothing to find: shuffled tokens, "
     "random vectors, shuffled labels. Drawn grey and dashed."),
    ("Residual stream", "The vector that every layer reads from and adds to, one per token."),
    ("Logit lens", "The final norm and output head applied to an earlier layer: what the model "
     "would say if it stopped there."),
    ("Isotropy", "How evenly vectors point in all directions; 1 is evenly, 0 is one direction."),
    ("Surprisal", "−ln of the probability the model gave to the token that came, in nats."),
    ("Entropy", "How open the model is about the next token: −Σ p ln p, in nats."),
    ("Nat", "The unit of information with natural logarithms; 1 nat is 1.44 bits."),
)  # fmt: skip


def show_first_steps() -> None:
    """Say what each page is for, and which keys work."""
    st.markdown(
        """
1. **Prompt** — write a text, press *Look inside*. Every figure below the text shows the same
   text; a token you click is marked in all of them.
2. **Model** — sizes, sites, the length of any activation at any layer, attention patterns.
3. **Probe** — choose a question, keep or change its options, press *Run*. It goes on in the
   background: you may leave the page or close the browser, and find it again under *Runs*.
4. **Reason** — problems solved in words, sentences and latent thoughts, side by side.
5. **Questions** — causal questions whose answer is computed, with its proof and the choice made.
6. **Concepts** — what a concept does to an answer, beside what explainers say of it.
7. **Cause** — graphs of what drives what, and how sure each arrow is.
8. **Runs** — everything that was ever run here. Mark one to open it, two to compare them.

**In a token strip:** point at a token for its exact values; click it, then move with the arrow
keys, Home and End. A middle dot is a blank, ↵ a line end, ⇥ a tab; what tokenizers add
themselves is in italics.

**In every figure:** grey and dashed is the control, a band is the interval. Drag to zoom, double
click to go back.

**To repeat a result** elsewhere, copy it from *Reproduce* below the result: as a command line, as
Python or as TOML.
"""
    )


def show_concepts() -> None:
    """Draw the dictionary: one word per idea, in the app as in the code and the docs."""
    for word, meaning in CONCEPTS:
        st.markdown(f"**{plain_markdown(word)}** — {plain_markdown(meaning)}")


def error_table() -> Table:
    """List every error code with what it means."""
    kinds: list[type[errors.WorkbenchError]] = [errors.WorkbenchError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    rows = [
        {"code": kind.code, "means": (inspect.getdoc(kind) or "").split("\n")[0]}
        for kind in dict.fromkeys(kinds)
        if kind.__module__ == errors.__name__
    ]
    return Table.from_rows(rows, {"code": Column(help="Stands below every error message.")})


def show_errors() -> None:
    """Draw the error codes."""
    st.caption("A message says what was given, what was expected and what to try next.")
    show_table(error_table(), name="errors", key="help")


def show_doctor() -> None:
    """Check the installation when asked to, and list plugins that did not load."""
    st.caption("Looks at Python, the packages, the plugins, the models, the store and the machine.")
    if st.button("Check now", icon=":material/stethoscope:"):
        with st.spinner("Looking at everything…"):
            LOADER.plugins().finished.wait()
            from app.health import checkup

            st.session_state["checks"] = checkup()
    if "checks" in st.session_state:
        _show_checks(st.session_state["checks"])


def _show_checks(checks: tuple[Any, ...]) -> None:
    from app.health import is_healthy

    for check in checks:
        icon = {"ok": ":green[✓]", "warning": ":orange[!]"}.get(check.state, ":red[✗]")
        hint = f" — try: {check.hint}" if check.hint else ""
        st.markdown(f"{icon} **{plain_markdown(check.name)}** {plain_markdown(check.found + hint)}")
    if is_healthy(checks):
        st.success("Nothing failed.")
    else:
        st.error("Something failed; each line says what to try.")
