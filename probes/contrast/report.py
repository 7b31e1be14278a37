"""What both contrastive recipes report: the questions drawn, and how training went."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from probes.contrast.selection import Response, ranked_wrong
from probes.contrast.training import Fitted
from workbench.methods.contracts import Context
from workbench.result.estimate import Estimate
from workbench.result.intervals import mean_estimate
from workbench.result.result import Note
from workbench.result.tables import Column, Table
from workbench.result.views import Curve
from workbench.sampling.task import Problem

_QUESTIONS = {
    "question": Column(help="The question as asked."),
    "answer": Column(help="The right answer."),
    "success": Column("proportion", "Right answers among the drawn responses."),
    "samples": Column("responses", "Responses drawn."),
    "frequent_wrong": Column(help="The most frequent wrong answer."),
}
_CURVES = {
    "model": Column(help="Which model is trained."),
    "step": Column(help="Training step, counted from 1; 0 is before training."),
    "loss": Column("nats", "The loss that is minimised."),
    "learning_rate": Column(help="Learning rate of the step."),
}


def sampled_accuracy(drawn: Sequence[Sequence[Response]], context: Context) -> Estimate:
    """Return the share of right responses, questions being the units."""
    return mean_estimate(
        "sampled accuracy",
        [sum(r.correct for r in rs) / len(rs) for rs in drawn],
        unit="proportion",
        generator=context.stream("sampled accuracy"),
        n_unit="questions",
        resamples=context.resamples,
        bounds=(0.0, 1.0),
    )


def held_out_losses(
    fitted: Sequence[Fitted], rows: str, units: Mapping[str, str]
) -> list[Estimate]:
    """Return the lowest loss of each model on held-out rows beside that before training."""
    return [_held_out_loss(one, rows, units[one.name]) for one in fitted]


def question_table(problems: Sequence[Problem], drawn: Sequence[Sequence[Response]]) -> Table:
    """Return every question with how often it was answered right."""
    rows = []
    for problem, responses in zip(problems, drawn, strict=True):
        wrong = ranked_wrong(responses)
        rows.append(
            {
                "question": problem.question,
                "answer": problem.answer,
                "success": sum(r.correct for r in responses) / len(responses),
                "samples": len(responses),
                "frequent_wrong": wrong[0][0].answer if wrong else None,
            }
        )
    return Table.from_rows(rows, _QUESTIONS)


def curve_tables(fitted: Sequence[Fitted]) -> dict[str, Table]:
    """Return the loss of every step and every validation of every model."""
    steps = [
        {"model": one.name, "step": i + 1, "loss": loss, "learning_rate": rate}
        for one in fitted
        for i, (loss, rate) in enumerate(zip(one.history.losses, one.history.rates, strict=True))
    ]
    judged = [
        {"model": one.name, "step": step, "loss": loss}
        for one in fitted
        for step, loss in one.history.validations
    ]
    names = ("model", "step", "loss")
    return {
        "steps": Table.from_rows(steps, _CURVES),
        "validation": Table.from_rows(judged, {name: _CURVES[name] for name in names}),
    }


def curve_views() -> tuple[Curve, Curve]:
    """Return the charts of the curve tables."""
    return (
        Curve(title="Training loss", table="steps", x="step", y=("loss",), group="model"),
        Curve(title="Held-out loss", table="validation", x="step", y=("loss",), group="model"),
    )


def notes(fitted: Sequence[Fitted], rows: str, folder: Path, digest: str) -> tuple[Note, ...]:
    """Say where the checkpoint lies and on how much each adapter was trained."""
    sizes = ", ".join(f"{one.name} {one.n_rows} and {one.n_held_out}" for one in fitted)
    return (
        Note(f"checkpoint {digest[:12]} written to {folder}", code="checkpoint"),
        Note(f"{rows} for training and held out: {sizes}"),
    )


def _held_out_loss(fitted: Fitted, rows: str, unit: str) -> Estimate:
    history = fitted.history
    return Estimate(
        name=f"{fitted.name}, held-out loss",
        value=history.best[1],
        unit=unit,
        n=fitted.n_held_out,
        n_unit=rows,
        method=f"lowest of {len(history.validations)} validations, step {history.best[0]}; "
        "chosen on the same rows",
        control=history.validations[0][1],
        control_name="untrained",
    )
