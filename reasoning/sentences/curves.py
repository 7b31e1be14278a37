"""The report of a training run: accuracies beside the baseline, curves of every stage."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench.result.estimate import Estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Bars, Curve
from workbench.training.checkpoint import Manifest
from workbench.training.loop import History
from workbench.training.report import checkpoint_note, loss_tables, loss_views

_NATS = "nats per token"
_TRAINING = Column(_NATS, "Loss of the step, with InfoNCE and stop loss where they apply.")
_HELD_OUT = Column(_NATS, "The same on held-out problems; the lowest is kept.")


def report(
    found: Sequence[Estimate],
    histories: Mapping[str, History],
    folder: Path,
    manifest: Manifest,
) -> Result:
    """Return the accuracies of all reasoners on held-out problems, and the curves."""
    best = max(found, key=lambda e: e.value or 0.0)
    tables = {"accuracy": _accuracies(found)}
    views: list[Bars | Curve] = [Bars("Held-out accuracy", "accuracy", x="who", y="accuracy")]
    for name, history in histories.items():
        names = (f"{name}_steps", f"{name}_held_out")
        tables |= loss_tables({name: history}, _TRAINING, _HELD_OUT, names=names)
        views += loss_views(names, of=name)
    return Result(
        summary=f"{best.name} is right most often, {best.value or 0:.1%} of {best.n} held-out "
        f"problems (majority answer {best.control or 0:.1%})",
        estimates=tuple(found),
        tables=tables,
        notes=(
            checkpoint_note(manifest, folder),
            Note(
                "held-out problems also chose the weights; judge on part=test with "
                "`workbench reason compare`",
                code="chosen-on-these",
            ),
        ),
        views=tuple(views),
    )


def _accuracies(found: Sequence[Estimate]) -> Table:
    rows = [{"who": e.name, "accuracy": e.value, "low": e.low, "high": e.high} for e in found]
    rows.append({"who": "majority answer", "accuracy": found[0].control, "low": None, "high": None})
    return Table.from_rows(
        rows,
        {
            "who": Column(help="The reasoner, or always giving the commonest answer."),
            "accuracy": Column("proportion", "Share of held-out problems right.", "low", "high"),
        },
    )
