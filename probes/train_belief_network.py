"""Train a small network on sequences whose next-token distribution is known exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from probes.beliefs.excess import excess_report
from probes.beliefs.objective import SequenceObjective
from probes.beliefs.symbols import read_states, symbol_rows
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import recipe
from workbench.model.model import Model
from workbench.result.result import Result
from workbench.result.tables import Column
from workbench.sampling.processes.process import written
from workbench.sampling.processes.sequences import SequenceTask, open_sequences
from workbench.training.drawn import drawn_run, train_drawn
from workbench.training.presets import ScratchOptions, ScratchPreset
from workbench.training.scratch import scratch_model

RECIPE = "belief-network"

PRESETS = {
    "tiny": ScratchPreset(
        layers=2, width=16, heads=2, batch=16, steps=20, held_out=16, judged=16,
        learning_rate=1e-2,
    ),
    "cpu": ScratchPreset(
        layers=3, width=48, heads=4, batch=64, steps=2000, held_out=256, judged=500,
        learning_rate=3e-3,
    ),
    "gpu": ScratchPreset(
        layers=4, width=64, heads=4, batch=512, steps=40_000, held_out=1024, judged=2000,
        learning_rate=1e-3,
    ),
}  # fmt: skip


@recipe(RECIPE, source="Shai et al. 2024, arXiv:2405.15943; arXiv:2410.00699")
@dataclass(frozen=True, kw_only=True)
class TrainBeliefNetwork(ScratchOptions):
    """Train a small causal network on a process whose beliefs are known exactly.

    Sequences of the task (hidden-markov or latent-class) are drawn anew for every step, and the
    network learns their next tokens from nothing, whatever model is named. It is judged on others
    by the cross-entropy in excess of the exact predictor, KL(exact‖network) by position. Control:
    the best predictor from the last symbol alone. The folder is a model that `--model` takes.

    Cost: `cpu` takes about five minutes on one core, `tiny` a second.

    Units: nats per symbol.

    Raises:
        DataError: the task draws no sequences of a process.
        FitError: the loss is not finite.

    Source: Shai et al. 2024, section 4, at a smaller size; the measure is that of
    arXiv:2410.00699, which trains only a head.
    """

    losses: ClassVar = (
        Column("nats", "Cross-entropy of the next token on new sequences."),
        Column("nats", "Excess over the exact predictor on held-out sequences; lowest is kept."),
    )

    default_task: ClassVar[str] = "hidden-markov?kind=mess3"

    def base_model(self, context: Context) -> Model | None:
        """Return the random network to begin with."""
        preset, task = self._opened(context)
        symbols = task.process().symbols
        shape = preset.shape(max(64, 2 * task.length))
        words = [*symbols, *(f" {symbol}" for symbol in symbols)]
        name = f"symbols of {context.task or self.default_task}"
        return scratch_model(words, shape, seed=context.seed, name=name)

    def train(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        preset, task = self._opened(context)
        process = task.process()
        held, _ = process.sample(preset.held_out, task.length, context.stream("held-out sequences"))
        objective = SequenceObjective(
            model, process, batch=preset.batch, length=task.length, held_out=held
        )
        drawn = "sequences", str(process.as_dict())
        run = drawn_run(self, RECIPE, preset, model, context, drawn)
        ids, _ = process.sample(preset.judged, task.length, context.stream("judged sequences"))
        words = [written(process, row) for row in ids.tolist()]

        def judge(trained: Model) -> Result:
            rows = symbol_rows(trained, words, process)
            return excess_report(rows, read_states(trained, rows, (), context))

        told = "{loss:.3g} nats over the exact predictor after {step} steps"
        return train_drawn(run, objective, judge, self.losses, told)

    def _opened(self, context: Context) -> tuple[ScratchPreset, SequenceTask]:
        preset = PRESETS[self.preset].with_options(self, context.limit)
        return preset, open_sequences(context.task or self.default_task)
