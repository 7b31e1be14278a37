"""The writer and the arms of one run, each stage resumable on its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from reasoning.coconut.judging import Judged
from reasoning.coconut.sizes import Arm, Sizes
from reasoning.coconut.thought_task import ThoughtTask, marks_of
from reasoning.sentences.writing_task import WritingTask
from workbench.latent.coconut import as_model, coconut_tensors
from workbench.methods.contracts import Context
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.training.checkpoint import Checkpoint, Manifest
from workbench.training.lines import Lines, Worked
from workbench.training.loop import History, Plan, Trainable, train
from workbench.training.network import Network, Tuning, tuning
from workbench.training.scratch import save_model

WRITER, MODEL = "writer", "model"


@dataclass(frozen=True, kw_only=True, eq=False)
class Writer:
    """Weights that write whole chains, and the ids that ask for an answer at once."""

    weights: Tuning
    lead: tuple[int, ...]


@dataclass(kw_only=True, eq=False)
class Training:
    """Trains the writer, then one arm after the other; `histories` keeps curves by arm."""

    model: Model
    sizes: Sizes
    manifest: Manifest
    folder: Path
    context: Context
    problems: tuple[Sequence[Worked], Sequence[Worked]]
    half: bool
    histories: dict[str, list[tuple[int, History]]] = field(default_factory=dict)
    _places: dict[str, Path] = field(default_factory=dict)

    def write(self) -> Writer:
        """Learn to write chains in words."""
        weights = self._tuning(WRITER, None)
        task = WritingTask(weights, Lines(self.model.tokenizer), *self.problems)
        plan = self.sizes.plan_of(self.sizes.writing, self.sizes.writing_rate, task.n_rows)
        self.histories[WRITER] = [(0, self._train(WRITER, task, plan))]
        return Writer(weights=weights, lead=tuple(task.lead))

    def writer_model(self, writer: Writer) -> Model:
        """Return the writer as a model."""
        return as_model(self._tuning(f"{WRITER} read", writer.weights), self.model)

    def keep_writer(self, writer: Writer) -> Model:
        """Return the model that the arms belong to: the writer kept as a folder, or the base."""
        if self.sizes.lora is not None:
            return self.model
        place = self.folder / MODEL
        save_model(writer.weights.module, self.model.tokenizer, place, dtype=self._dtype)
        return load_model(place, device=self.model.device.type)

    def arm(self, arm: Arm, writer: Writer, base: Model) -> Path:
        """Take an arm through its stages and keep it; return its folder."""
        lines = Lines(self.model.tokenizer)
        weights = self._tuning(arm.name, writer.weights)
        marks = marks_of(Network(weights.module), lines)
        stages = self.sizes.curriculum(arm)
        self.histories[arm.name] = []
        for number, (stage, steps) in enumerate(stages, start=1):
            task = ThoughtTask(weights, marks, lines, self.problems, stage)
            plan = self.sizes.plan_of(steps, self.sizes.rate, task.n_rows)
            history = self._train(f"{arm.name}-{number}", task, plan)
            self.histories[arm.name].append((stage.replaced, history))
        last = stages[-1][0]
        told = {"arm": arm.name, "thoughts": last.thoughts, "feeds_states": last.feeds_states}
        manifest = replace(
            self.manifest,
            options={**self.manifest.options, **told},
            base_model=base.spec.name if self.sizes.lora else self.manifest.base_model,
            base_hash=base.spec.weights_hash,
        )
        place = self._places[arm.name] = self.folder / arm.name
        tensors = coconut_tensors(weights, marks)
        Checkpoint(manifest=manifest, tensors=tensors).save(place, dtype=self._dtype)
        return place

    def tell_scores(self, judged: Sequence[Judged]) -> None:
        """Write into every arm's manifest what was measured of all."""
        scores = {one.name: {"accuracy": sum(one.right) / len(one.right)} for one in judged}
        known = {"problems": len(judged[0].right), **scores}
        for place in self._places.values():
            kept = Checkpoint.load(place)
            told = replace(kept.manifest, scores=known)
            Checkpoint(manifest=told, tensors=kept.tensors).save(place, dtype=self._dtype)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float16 if self.half else torch.float32

    def _tuning(self, name: str, start: Tuning | None) -> Tuning:
        generator = self.context.torch_stream(f"weights of {name}")
        grown = tuning(self.model, self.sizes.lora, generator=generator, suffix=name)
        if start is not None:
            grown.load(start.tensors())
        return grown

    def _train(self, name: str, task: Trainable, plan: Plan) -> History:
        tell = self.context.progress
        context = replace(
            self.context, progress=lambda done, total, what: tell(done, total, f"{name} {what}")
        )
        return train(
            task,
            plan,
            folder=self.folder / f"state-{name}",
            identity=self.manifest.identity(name),
            context=context,
        )
