"""Networks trained from nothing on rows that are drawn anew for every step."""

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from workbench.methods.contracts import Context
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.result.result import Result
from workbench.training.loop import Objective
from workbench.training.network import FullTuning
from workbench.training.presets import ScratchPreset
from workbench.training.report import LossColumns, scores_of, trained_report
from workbench.training.run import TrainingRun
from workbench.training.scratch import save_model


class NetworkObjective(Objective, Protocol):
    """An objective that trains all weights of a network."""

    tuning: FullTuning

    def spelling(self) -> dict[str, Tensor]:
        """Return what a checkpoint keeps beside the network."""


def drawn_run(
    recipe: Any,
    name: str,
    preset: ScratchPreset,
    model: Model,
    context: Context,
    drawn: tuple[str, str],
) -> TrainingRun[ScratchPreset]:
    """Begin a run whose rows are `drawn`: what one is called, and all that decides them."""
    rows, source = drawn
    address = context.task or recipe.default_task
    data = f"{preset.batch * preset.steps} {rows} of {address}"
    return TrainingRun.of(
        recipe, name, preset, model, context, texts=[source], data=data, task=address
    )


def train_drawn(
    run: TrainingRun[ScratchPreset],
    objective: NetworkObjective,
    judge: Callable[[Model], Result],
    losses: LossColumns,
    summary: str,
) -> Result:
    """Train a network, write it as a folder that `--model` takes, and judge what was written."""
    history = run.train(objective, run.preset.plan)
    save_model(objective.tuning.module, run.model.tokenizer, run.folder, dtype=run.dtype)
    found = judge(load_model(run.folder, device="cpu"))
    saved = run.save(objective.spelling(), scores=scores_of(found))
    return trained_report(run, found, history, losses, saved=saved, summary=summary)
