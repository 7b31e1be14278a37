"""The two models of a contrastive estimate: how they are found and what they say."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from probes.contrast.objectives import contrastive_scores
from probes.contrast.sequences import Row
from workbench.errors import ModelNotFound
from workbench.model.model import Model
from workbench.runs.store import Store
from workbench.training.adapter import Adapter
from workbench.training.checkpoint import MANIFEST, Checkpoint, Manifest
from workbench.training.shipped import find_checkpoint

RECIPE = "contrastive-estimate"
POSITIVE, NEGATIVE = "positive", "negative"
RESPONSES = "responses.jsonl"


@dataclass(frozen=True, kw_only=True, eq=False)
class ContrastModels:
    """A positive and a negative model trained from one base, and the folder they lie in."""

    positive: Model
    negative: Model
    manifest: Manifest
    folder: Path

    @classmethod
    def load(cls, base: Model, folder: Path) -> "ContrastModels":
        """Read both models from a checkpoint folder.

        Raises:
            ModelNotFound: there is no checkpoint.
            ModelError: it belongs to another recipe or model.
        """
        found = Checkpoint.load(folder)
        found.check(base.spec, recipe=RECIPE)
        return cls(
            positive=Adapter.restore(base, found, prefix=f"{POSITIVE}.").model,
            negative=Adapter.restore(base, found, prefix=f"{NEGATIVE}.").model,
            manifest=found.manifest,
            folder=folder,
        )

    def scores(self, rows: Sequence[Row], *, beta: float, at_once: int) -> list[Tensor]:
        """Return log s of each response's tokens, in nats; low marks a critical token."""
        return contrastive_scores(self.positive, self.negative, rows, beta=beta, at_once=at_once)


def find_models(base: Model, named: str, store: Store) -> ContrastModels:
    """Load the models of a folder or a training run; without a name, those that ship.

    Raises:
        ModelNotFound: nothing of that name, or nothing ships for this model.
        ModelError: they belong to another model.
    """
    return ContrastModels.load(base, _named(named, store) if named else _shipped(base))


def _named(named: str, store: Store) -> Path:
    if (Path(named) / MANIFEST).is_file():
        return Path(named)
    if any(run.startswith(named) for run in store.names()):
        folder = store.checkpoint(store.complete(named))
        if (folder / MANIFEST).is_file():
            return folder
    raise ModelNotFound(
        f"no contrastive estimate {named!r}: neither a checkpoint folder nor a finished training "
        f"run of {store.folder}",
        hint=f"workbench train {RECIPE}, then name its run",
    )


def _shipped(base: Model) -> Path:
    hint = f"workbench train {RECIPE} --model {base.spec.name}, then name its run or folder"
    return find_checkpoint(base.spec, RECIPE, what="contrastive estimate", hint=hint)
