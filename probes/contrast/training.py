"""Training the adapters of one run: the same start, plan and data for every one of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from probes.contrast.presets import ContrastPreset
from workbench.methods.contracts import Context
from workbench.training.adapter import Adapter, LoraShape
from workbench.training.checkpoint import Checkpoint
from workbench.training.loop import History, Objective
from workbench.training.run import TrainingRun
from workbench.training.splits import hold_out

ContrastRun = TrainingRun[ContrastPreset]

_ItemT = TypeVar("_ItemT")


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which questions are kept from training."""

    held_out: frozenset[int]

    @classmethod
    def of(cls, usable: Sequence[int], share: float, context: Context) -> "Split":
        """Hold out a share of the usable questions, at least one if that leaves one."""
        _, held_out = hold_out(len(usable), share, context.stream("held-out questions"))
        return cls(held_out=frozenset(usable[i] for i in held_out))

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


def fit(
    run: ContrastRun, name: str, objective: Callable[[Adapter], Objective], n_held_out: int
) -> Fitted:
    """Train one adapter; each begins with the same matrices and sees rows in the same order.

    Raises:
        FitError: the loss is not finite.
        StoreError: the folder holds the state of another run.
    """
    adapter = Adapter(
        run.model,
        LoraShape(**run.manifest.options["adapter"]),
        generator=run.context.torch_stream("adapter start"),
        suffix=name,
    )
    trained = objective(adapter)
    history = run.train(trained, run.preset.plan(trained.n_rows), name)
    return Fitted(
        name=name, adapter=adapter, history=history, n_rows=trained.n_rows, n_held_out=n_held_out
    )


def save(
    fitted: Sequence[Fitted], run: ContrastRun, scores: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Write all adapters as one checkpoint, names behind `NAME.`, and return it."""
    tensors = {k: v for one in fitted for k, v in one.adapter.tensors(f"{one.name}.").items()}
    return run.save(tensors, scores=scores or {})
