"""The tuned lens: every layer translated to the last one, then read as a prediction."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from probes.lens.metrics import Translate, untranslated
from probes.lens.reading import Lens
from probes.lens.translator import Translators
from workbench.errors import InputError
from workbench.methods.contracts import Context
from workbench.methods.per_unit import PerUnit
from workbench.methods.registry import probe
from workbench.model.spec import ModelSpec
from workbench.options import option
from workbench.result.metric import Control
from workbench.result.samples import VALUE
from workbench.training.checkpoint import Checkpoint
from workbench.training.shipped import find_checkpoint

RECIPE = "tuned-lens"


@probe("tuned-lens", source="Belrose et al. 2023, arXiv:2303.08112")
@dataclass(frozen=True, kw_only=True)
class TunedLens(Lens):
    """Read each layer as a next-token prediction after an affine map trained for that layer.

    The map h + h·down·up + bias takes the states of a layer towards those of the last one; it
    was trained to minimise KL(p‖q) from the model's own prediction p. With all maps zero this
    is the logit lens, bit for bit. Metrics and controls are those of the logit lens; random
    vectors through the same maps show what the biases know without looking. `compare` adds the
    logit lens at the same positions.

    A checkpoint belongs to one model. None ships with the package;
    `workbench train tuned-lens` makes one.

    Cost: as the logit lens, twice with `compare`.

    Units: KL, negative log-likelihood and entropy in nats; agreement is a proportion.

    Source: Belrose et al. 2023, section 3. We differ: maps may be of low rank, position 0 is
    left out, and the shipped maps start from a regression instead of the identity.
    """

    checkpoint: str = option("", help="Folder of trained maps; default: those that ship for it.")
    compare: bool = option(True, help="Show the logit lens at the same positions.")

    controls_of: ClassVar = {
        "plain": Control("logit lens", "the logit lens, without translation", is_partial=True),
        **Lens.controls_of,
    }

    def loaded(self, context: Context) -> PerUnit:
        if context.spec is None:
            raise InputError("a lens needs a model", hint="activation files have no output head")
        return LoadedLens(**vars(self), maps=find_translators(self.checkpoint, context.spec))

    def translations(self, context: Context) -> Mapping[str, Translate]:
        raise InputError("the maps of a tuned lens are loaded first")


@dataclass(frozen=True, kw_only=True)
class LoadedLens(TunedLens):
    """A tuned lens with its maps."""

    maps: Translators

    def loaded(self, context: Context) -> PerUnit:
        return self

    def translations(self, context: Context) -> Mapping[str, Translate]:
        return {VALUE: self.maps, **({"plain": untranslated} if self.compare else {})}


def find_translators(checkpoint: str, spec: ModelSpec) -> Translators:
    """Read the maps of a folder, or those that ship for the model.

    Raises:
        ModelNotFound: no folder was named and none ships for this model.
        ModelError: they belong to another model.
    """
    folder = Path(checkpoint) if checkpoint else _shipped(spec)
    found = Checkpoint.load(folder)
    found.check(spec, recipe=RECIPE)
    return Translators.of(found.tensors, spec)


def _shipped(spec: ModelSpec) -> Path:
    hint = f"train one with the recipe {RECIPE}, then give its folder with --checkpoint"
    return find_checkpoint(spec, RECIPE, what="tuned lens", hint=hint)
