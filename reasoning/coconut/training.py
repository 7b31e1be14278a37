"""The writer and the ablations of one run, each stage resumable on its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reasoning.coconut.evaluator import Evaluated
from reasoning.coconut.presets import CoconutPreset, ThoughtAblation
from reasoning.coconut.thought_objective import ThoughtObjective, marks_of
from reasoning.sentences.writing_objective import WritingObjective
from workbench.latent.coconut import as_model, coconut_tensors
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.training.checkpoint import Checkpoint
from workbench.training.lines import Lines
from workbench.training.loop import History
from workbench.training.network import Network, Tuning
from workbench.training.run import TrainingRun
from workbench.training.scratch import save_model
from workbench.training.splits import Splits

WRITER, MODEL = "writer", "model"


@dataclass(frozen=True, kw_only=True, eq=False)
class Writer:
    """Weights that write whole chains, and the ids that ask for an answer at once."""

    weights: Tuning
    lead: tuple[int, ...]


@dataclass(kw_only=True, eq=False)
class Stages:
    """Trains the writer, then one ablation after the other; `histories` keeps curves by name."""

    run: TrainingRun[CoconutPreset]
    splits: Splits
    histories: dict[str, list[tuple[int, History]]] = field(default_factory=dict)
    _checkpoints: dict[str, Checkpoint] = field(default_factory=dict)

    def write(self) -> Writer:
        """Learn to write chains in words."""
        run, preset = self.run, self.run.preset
        weights = run.tuning(WRITER, preset.lora)
        lines = Lines(run.model.tokenizer)
        objective = WritingObjective(weights, lines, self.splits.train, self.splits.valid)
        if preset.writing:
            plan = preset.plan(preset.writing, preset.writing_rate, objective.n_rows)
            self.histories[WRITER] = [(0, run.train(objective, plan, f"state-{WRITER}"))]
        return Writer(weights=weights, lead=tuple(objective.lead))

    def writer_model(self, writer: Writer) -> Model:
        """Return the writer as a model."""
        read = self.run.tuning(f"{WRITER} read", self.run.preset.lora, writer.weights)
        return as_model(read, self.run.model)

    def save_writer(self, writer: Writer) -> Model:
        """Return the model that the ablations belong to: the writer as a folder, or the base."""
        run = self.run
        if run.preset.lora is not None:
            return run.model
        place = run.folder / MODEL
        save_model(writer.weights.module, run.model.tokenizer, place, dtype=run.dtype)
        return load_model(place, device=run.model.device.type)

    def ablation(self, ablation: ThoughtAblation, writer: Writer, base: Model) -> Path:
        """Take an ablation through its stages and save it; return its folder."""
        run, preset, name = self.run, self.run.preset, ablation.name
        lines = Lines(run.model.tokenizer)
        weights = run.tuning(name, preset.lora, writer.weights)
        marks = marks_of(Network(weights.module), lines)
        stages = preset.curriculum(ablation)
        self.histories[name] = []
        problems = (self.splits.train, self.splits.valid)
        for number, (stage, steps) in enumerate(stages, start=1):
            objective = ThoughtObjective(weights, marks, lines, problems, stage)
            plan = preset.plan(steps, preset.rate, objective.n_rows)
            history = run.train(objective, plan, f"state-{name}-{number}")
            self.histories[name].append((stage.replaced, history))
        last = stages[-1][0]
        told = {"arm": name, "thoughts": last.thoughts, "feeds_states": last.feeds_states}
        place = run.folder / name
        self._checkpoints[name] = run.save(
            coconut_tensors(weights, marks),
            place,
            options={**run.manifest.options, **told},
            base_model=base.spec.name if preset.lora else run.manifest.base_model,
            base_hash=base.spec.weights_hash,
        )
        return place

    def save_scores(self, evaluated: Sequence[Evaluated]) -> None:
        """Write into the manifest of every ablation what was measured of all."""
        scores = {one.name: {"accuracy": sum(one.right) / len(one.right)} for one in evaluated}
        known = {"problems": len(evaluated[0].right), **scores}
        for name, checkpoint in self._checkpoints.items():
            checkpoint.rescored(known, self.run.folder / name)
