"""A trained sentence lens: readout, words, bank, and readings of other sentences as controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from probes.sentence_states.bank import Bank, from_bytes, to_bytes
from probes.sentence_states.readout import WordReadout
from probes.sentence_states.vocabulary import Vocabulary
from workbench.errors import ModelError
from workbench.model.spec import ModelSpec
from workbench.training.checkpoint import Checkpoint
from workbench.training.shipped import find_checkpoint

RECIPE = "sentence-words"
BEST = "best_layer"


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedLens:
    """All that reading needs.

    `others` and `other_nearest` are what the states of other sentences were read as: the first
    word of each target and the nearest sentence. `best` is the layer with the highest P@1 on
    the validation part; `scores` are those of the manifest.
    """

    readout: WordReadout
    bank: Bank
    others: Mapping[str, Int[Tensor, "other layer"]]
    other_nearest: Int[Tensor, "other layer"]
    best: int
    scores: Mapping[str, Any]

    @property
    def vocabulary(self) -> Vocabulary:
        """The words it can say."""
        return self.bank.vocabulary

    @property
    def prior(self) -> Float[Tensor, " word"]:
        """How frequent each word is among those to learn from."""
        return self.bank.prior

    def tensors(self) -> dict[str, Tensor]:
        """Return everything as tensors by name; texts as bytes."""
        return {
            **self.readout.tensors(),
            "prior": self.prior,
            "words": to_bytes(self.vocabulary.words),
            "bank": to_bytes(self.bank.sentences),
            "other.nearest": self.other_nearest.int(),
            **{f"other.{target}": x.int() for target, x in self.others.items()},
        }

    @classmethod
    def of(cls, found: Checkpoint) -> "TrainedLens":
        """Rebuild it from a checkpoint.

        Raises:
            ModelError: a tensor is missing.
        """
        try:
            tensors = found.tensors
            bank = Bank(
                sentences=from_bytes(tensors["bank"]),
                vocabulary=Vocabulary(words=from_bytes(tensors["words"])),
                prior=tensors["prior"].float(),
            )
            others = {n: x.long() for n, x in found.part("other.").items() if n != "nearest"}
            return cls(
                readout=WordReadout.of(tensors),
                bank=bank,
                others=others,
                other_nearest=tensors["other.nearest"].long(),
                best=int(found.manifest.options[BEST]),
                scores=found.manifest.scores,
            )
        except KeyError as error:
            raise ModelError(f"the lens has no {error}", hint="train it again") from error


def find_lens(folder: str, spec: ModelSpec, beside: Sequence[Path] = ()) -> TrainedLens:
    """Read the lens of a folder, or the one that ships for the model.

    Raises:
        ModelNotFound: no folder was named and none ships for this model.
        ModelError: it belongs to another model, or is damaged.
    """
    hint = (
        f"`workbench train {RECIPE} --preset quick` makes one from nothing; then --checkpoint "
        "with the folder it names"
    )
    place = (
        Path(folder).expanduser()
        if folder
        else find_checkpoint(spec, RECIPE, what="sentence lens", hint=hint, beside=beside)
    )
    found = Checkpoint.load(place)
    found.check(spec, recipe=RECIPE)
    return TrainedLens.of(found)
