"""One run of a recipe: what it trains, what it makes and where that is kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.options import plain
from workbench.training.adapter import LoraShape
from workbench.training.checkpoint import Checkpoint, Manifest
from workbench.training.loop import History, Objective, Plan, train
from workbench.training.network import Tuning, tuning
from workbench.training.presets import Preset

PresetT = TypeVar("PresetT", bound=Preset)


def told_of(examples: Sequence[Example]) -> dict[str, Any]:
    """Return what a manifest tells of the texts that are learned from."""
    data = f"{len(examples)} texts, {examples[0].source or 'unnamed'} first"
    return {"texts": [example.text for example in examples], "data": data}


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingRun(Generic[PresetT]):
    """The model a recipe trains on, its sizes, the manifest of its weights, and the context.

    `half` keeps the weights in 16 bits.
    """

    model: Model
    preset: PresetT
    manifest: Manifest
    context: Context
    half: bool = True

    @classmethod
    def of(  # noqa: PLR0913 - all that decides the weights
        cls,
        recipe: Any,
        name: str,
        preset: PresetT,
        model: Model,
        context: Context,
        *,
        texts: Iterable[str],
        data: str,
        **more: Any,
    ) -> "TrainingRun[PresetT]":
        """Begin a run of a recipe with these sizes; `more` are further entries of the manifest."""
        manifest = Manifest.of(
            name,
            model.spec,
            options=plain(recipe) | vars(preset) | more,
            seed=context.seed,
            texts=texts,
            data=data,
        )
        return cls(model=model, preset=preset, manifest=manifest, context=context, half=recipe.half)

    @property
    def folder(self) -> Path:
        """The folder of the checkpoint and of all states."""
        return self.context.folder

    @property
    def dtype(self) -> torch.dtype:
        """The number format that weights are kept in."""
        return torch.float16 if self.half else torch.float32

    def train(self, objective: Objective, plan: Plan, stage: str = "") -> History:
        """Train one objective; a stage has a state of its own, in a folder of its name.

        Raises:
            FitError: the loss is not finite.
            StoreError: the folder holds the state of another run.
        """
        report = self.context.progress

        def progress(done: int, total: int, label: str) -> None:
            report(done, total, f"{stage} {label}".strip())

        return train(
            objective,
            plan,
            folder=self.folder / stage,
            identity=self.manifest.identity(*([stage] if stage else [])),
            context=replace(self.context, progress=progress),
        )

    def tuning(self, name: str, lora: LoraShape | None, start: Tuning | None = None) -> Tuning:
        """Return weights to tune, fresh or beginning with those of another tuning."""
        generator = self.context.torch_stream(f"weights of {name}")
        grown = tuning(self.model, lora, generator=generator, suffix=name)
        if start is not None:
            grown.load(start.tensors())
        return grown

    def save(
        self, tensors: Mapping[str, Tensor], folder: Path | None = None, **changes: Any
    ) -> Checkpoint:
        """Write a checkpoint; `changes` replace entries of the manifest."""
        manifest = replace(self.manifest, **changes)
        return Checkpoint(manifest=manifest, tensors=tensors).save(
            folder or self.folder, dtype=self.dtype
        )
