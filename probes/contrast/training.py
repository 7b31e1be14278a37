"""Training the adapters of one run: the same start, plan and data for every one of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from probes.contrast.presets import Sizes
from workbench.methods.contracts import Context
from workbench.model.model import Model
from workbench.training.adapter import Adapter, LoraShape
from workbench.training.checkpoint import Checkpoint, Manifest
from workbench.training.loop import History, Trainable, train

_ItemT = TypeVar("_ItemT")


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which questions are kept from training."""

    held_out: frozenset[int]

    @classmethod
    def of(cls, usable: Sequence[int], share: float, context: Context) -> "Split":
        """Hold out a share of the usable questions, at least one if that leaves one."""
        order = context.stream("held-out questions").permutation(len(usable))
        n = min(len(usable) - 1, max(1, round(share * len(usable))))
        return cls(held_out=frozenset(usable[i] for i in order[: max(n, 0)]))

    def parts(
        self, items: Sequence[tuple[int, _ItemT]]
    ) -> tuple[tuple[_ItemT, ...], tuple[_ItemT, ...]]:
        """Return what belongs to training and to held-out questions, by question number."""
        return (
            tuple(item for i, item in items if i not in self.held_out),
            tuple(item for i, item in items if i in self.held_out),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """One trained adapter with its curves and the number of rows behind them."""

    name: str
    adapter: Adapter
    history: History
    n_rows: int
    n_held_out: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Training:
    """What all adapters of a run have in common."""

    model: Model
    sizes: Sizes
    manifest: Manifest
    folder: Path
    context: Context

    def fit(self, name: str, lesson: Callable[[Adapter], Trainable], n_held_out: int) -> Fitted:
        """Train one adapter; each begins with the same matrices and sees rows in the same order.

        Raises:
            FitError: the loss is not finite.
            StoreError: the folder holds the state of another run.
        """
        adapter = Adapter(
            self.model,
            LoraShape(**self.manifest.options["adapter"]),
            generator=self.context.torch_stream("adapter start"),
            suffix=name,
        )
        task = lesson(adapter)
        history = train(
            task,
            self.sizes.plan(task.n_rows),
            folder=self.folder / name,
            identity=self.manifest.identity(name),
            context=self.context,
        )
        return Fitted(
            name=name,
            adapter=adapter,
            history=history,
            n_rows=task.n_rows,
            n_held_out=n_held_out,
        )


def keep(
    fitted: Sequence[Fitted],
    training: Training,
    *,
    half: bool,
    scores: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Write all adapters as one checkpoint, names behind `NAME.`, and return it."""
    tensors = {k: v for one in fitted for k, v in one.adapter.tensors(f"{one.name}.").items()}
    manifest = replace(training.manifest, scores=scores or {})
    return Checkpoint(manifest=manifest, tensors=tensors).save(
        training.folder, dtype=torch.float16 if half else torch.float32
    )
