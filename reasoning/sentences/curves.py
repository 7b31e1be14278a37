"""The report of a training run: accuracies beside the baseline, curves of every stage."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench.result.estimate import Estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Bars, Curve
from workbench.training.checkpoint import Manifest
from workbench.training.loop import History

_NATS = "nats per token"


def report(
    judged: Sequence[Estimate],
    histories: Mapping[str, History],
    folder: Path,
    manifest: Manifest,
) -> Result:
    """Return the accuracies of all reasoners on held-out problems, and the curves."""
    best = max(judged, key=lambda e: e.value or 0.0)
    tables = {"accuracy": _accuracies(judged)}
    views: list[Bars | Curve] = [
        Bars(title="Held-out accuracy", table="accuracy", x="who", y="accuracy")
    ]
    for name, history in histories.items():
        tables |= {f"{name}_steps": _steps(history), f"{name}_held_out": _held_out(history)}
        views += [
            Curve(title=f"{name}: training loss", table=f"{name}_steps", x="step", y=("loss",)),
            Curve(title=f"{name}: held-out loss", table=f"{name}_held_out", x="step", y=("loss",)),
        ]
    return Result(
        summary=f"{best.name} is right most often, {best.value or 0:.1%} of {best.n} held-out "
        f"problems (majority answer {best.control or 0:.1%})",
        estimates=tuple(judged),
        tables=tables,
        notes=(
            Note(f"checkpoint {manifest.weights_hash[:12]} written to {folder}", code="checkpoint"),
            Note(
                "held-out problems also chose the weights; judge on part=test with "
                "`workbench reason compare`",
                code="chosen-on-these",
            ),
        ),
        views=tuple(views),
    )


def _accuracies(judged: Sequence[Estimate]) -> Table:
    rows = [{"who": e.name, "accuracy": e.value, "low": e.low, "high": e.high} for e in judged]
    rows.append(
        {"who": "majority answer", "accuracy": judged[0].control, "low": None, "high": None}
    )
    return Table.from_rows(
        rows,
        {
            "who": Column(help="The reasoner, or always giving the commonest answer."),
            "accuracy": Column("proportion", "Share of held-out problems right.", "low", "high"),
        },
    )


def _steps(history: History) -> Table:
    rows = [
        {"step": i + 1, "loss": loss, "learning_rate": rate}
        for i, (loss, rate) in enumerate(zip(history.losses, history.rates, strict=True))
    ]
    return Table.from_rows(
        rows,
        {
            "step": Column(help="Training step, counted from 1."),
            "loss": Column(_NATS, "Loss of the step, with InfoNCE and stop loss where they apply."),
            "learning_rate": Column(help="Learning rate of the step."),
        },
    )


def _held_out(history: History) -> Table:
    rows = [{"step": step, "loss": loss} for step, loss in history.validations]
    return Table.from_rows(
        rows, {"loss": Column(_NATS, "The same on held-out problems; the lowest is kept.")}
    )
