"""What every recipe reports: the curves of its training, and where its weights lie."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Curve
from workbench.training.checkpoint import Checkpoint, Manifest
from workbench.training.loop import History
from workbench.training.run import TrainingRun

STEP = Column(help="Training step, counted from 1; 0 is before training.")
Scores = dict[str, dict[str, float | None]]
LossColumns = tuple[Column, Column]  # of a step, and held out
RATE = Column(help="Learning rate of the step.")


def loss_tables(
    histories: Mapping[str, History],
    training: Column,
    held_out: Column,
    *,
    names: tuple[str, str] = ("steps", "validation"),
    group: str = "",
) -> dict[str, Table]:
    """Return the loss of every step and of every validation, under two names.

    `group` is the column that tells histories apart; without it there is one history.
    """
    known = [(history, {group: name} if group else {}) for name, history in histories.items()]
    steps = [cell | row for history, cell in known for row in step_rows(history)]
    judged = [
        cell | {"step": step, "loss": loss}
        for history, cell in known
        for step, loss in history.validations
    ]
    first = {group: Column(help="What is trained.")} if group else {}
    return {
        names[0]: Table.from_rows(
            steps, {**first, "step": STEP, "loss": training, "learning_rate": RATE}
        ),
        names[1]: Table.from_rows(judged, {**first, "step": STEP, "loss": held_out}),
    }


def loss_views(
    names: tuple[str, str] = ("steps", "validation"), *, group: str = "", of: str = ""
) -> tuple[Curve, Curve]:
    """Return the charts of `loss_tables`; `of` names what is trained."""
    titles = ("Training loss", "Held-out loss")
    if of:
        titles = (f"{of}: training loss", f"{of}: held-out loss")
    training, held_out = (
        Curve(title, name, x="step", y=("loss",), group=group)
        for title, name in zip(titles, names, strict=True)
    )
    return training, held_out


def trained_report(
    run: TrainingRun[Any],
    found: Result,
    history: History,
    losses: LossColumns,
    *,
    saved: Checkpoint,
    summary: str,
) -> Result:
    """Return what trained weights were found to do, with their curves and where they lie.

    `summary` holds the place of the lowest held-out loss, `{loss:.3g}` and `{step}`.
    """
    step, loss = history.best
    return replace(
        found,
        summary=f"{summary.format(loss=loss, step=step)}; {found.summary}",
        tables={**found.tables, **loss_tables({saved.manifest.recipe: history}, *losses)},
        notes=(*found.notes, checkpoint_note(saved.manifest, run.folder)),
        views=(*loss_views(), *found.views),
    )


def scores_of(found: Result, value: str = "value", control: str = "control") -> Scores:
    """Return every estimate and its control, as a manifest keeps them."""
    return {e.name: {value: e.value, control: e.control} for e in found.estimates}


def step_rows(history: History) -> list[dict[str, Any]]:
    """Return loss and learning rate of every step."""
    pairs = zip(history.losses, history.rates, strict=True)
    return [
        {"step": step, "loss": loss, "learning_rate": rate}
        for step, (loss, rate) in enumerate(pairs, start=1)
    ]


def checkpoint_note(manifest: Manifest, folder: Path | str, more: str = "") -> Note:
    """Say which weights were written, and where."""
    text = f"checkpoint {manifest.weights_hash[:12]}{more} written to {folder}"
    return Note(text, code="checkpoint")
