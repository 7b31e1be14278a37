"""What both contrastive recipes report: the questions drawn, and how training went."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from probes.contrast.selection import Response, ranked_wrong
from probes.contrast.training import Fitted
from workbench.result.estimate import Estimate
from workbench.result.intervals import mean_estimate
from workbench.result.result import Note
from workbench.result.tables import Column, Table, columns_from
from workbench.sampling.task import Problem
from workbench.training.checkpoint import Checkpoint
from workbench.training.report import checkpoint_note, loss_tables

_QUESTIONS = columns_from("""
    question: The question as asked.
    answer: The right answer.
    success (proportion): Right answers among the drawn responses.
    samples (responses): Responses drawn.
    frequent_wrong: The most frequent wrong answer.
""")
_LOSS = Column("nats", "The loss that is minimised.")


def sampled_accuracy(drawn: Sequence[Sequence[Response]]) -> Estimate:
    """Return the share of right responses, questions being the units."""
    return mean_estimate(
        "sampled accuracy",
        [sum(r.correct for r in rs) / len(rs) for rs in drawn],
        unit="proportion",
        n_unit="questions",
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
    return loss_tables({one.name: one.history for one in fitted}, _LOSS, _LOSS, group="model")


def notes(fitted: Sequence[Fitted], rows: str, folder: Path, saved: Checkpoint) -> tuple[Note, ...]:
    """Say where the checkpoint lies and on how much each adapter was trained."""
    sizes = ", ".join(f"{one.name} {one.n_rows} and {one.n_held_out}" for one in fitted)
    return (
        checkpoint_note(saved.manifest, folder),
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
