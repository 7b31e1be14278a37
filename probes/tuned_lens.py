"""The tuned lens: every layer translated to the last one, then read as a prediction."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from probes.lens.accumulator import LensAccumulator, Reading
from probes.lens.metrics import LensMath
from probes.lens.translator import Translators
from workbench.errors import InputError
from workbench.methods.contracts import Context
from workbench.methods.registry import probe
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.options import option
from workbench.training.checkpoint import Checkpoint
from workbench.training.shipped import find_checkpoint

RECIPE = "tuned-lens"


@probe("tuned-lens", source="Belrose et al. 2023, arXiv:2303.08112")
@dataclass(frozen=True, kw_only=True)
class TunedLens:
    """Read each layer as a next-token prediction after an affine map trained for that layer.

    The map h + h·down·up + bias takes the states of a layer towards those of the last one; it
    was trained to minimise KL(p‖q) from the model's own prediction p. With all maps zero this
    is the logit lens, bit for bit. Metrics and controls are those of the logit lens; random
    vectors through the same maps show what the biases know without looking. `compare` adds the
    logit lens at the same positions.

    A checkpoint belongs to one model. One for the default model ships with the package; the
    recipe of the same name trains others.

    Cost: as the logit lens, twice with `compare`.

    Units: KL, negative log-likelihood and entropy in nats; agreement is a proportion.

    Source: Belrose et al. 2023, section 3. We differ: maps may be of low rank, position 0 is
    left out, and the shipped maps start from a regression instead of the identity.
    """

    checkpoint: str = option("", help="Folder of trained maps; default: those that ship for it.")
    compare: bool = option(True, help="Show the logit lens at the same positions.")
    positions: Literal["all", "last"] = option("all", help="Read all positions, or the last one.")
    every: int = option(4, help="Read every k-th position.", low=1, high=100_000)
    skip_first: bool = option(True, help="Leave out the first position, an outlier in most models.")
    controls: int = option(
        4, help="Positions per text to compare with the controls.", low=1, high=100_000
    )
    shown: int = option(24, help="Tokens of one text in the heat map.", low=1, high=1000)
    memory: int = option(
        96, help="Most memory for tensors over the vocabulary.", low=1, high=1 << 20, unit="MiB"
    )

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return every_layer(Kind.RESID_POST, spec)

    def start(self, context: Context) -> LensAccumulator:
        if context.spec is None or context.unembed is None:
            raise InputError("a lens needs a model", hint="activation files have no output head")
        return lens_accumulator(self, find_translators(self.checkpoint, context.spec), context)


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


def lens_accumulator(probe: TunedLens, maps: Translators, context: Context) -> LensAccumulator:
    """Begin counting with given maps.

    Raises:
        InputError: there is no model.
    """
    if context.spec is None or context.unembed is None:
        raise InputError("a lens needs a model", hint="activation files have no output head")
    budget = probe.memory * (1 << 20) // 4
    lens = LensMath(
        unembed=context.unembed, translate=maps, d_vocab=context.spec.d_vocab, budget=budget
    )
    plain = LensMath(
        unembed=context.unembed,
        translate=lambda _, h: h,
        d_vocab=context.spec.d_vocab,
        budget=budget,
    )
    reading = Reading(
        positions=probe.positions,
        every=probe.every,
        skip_first=probe.skip_first,
        controls=probe.controls,
        shown=probe.shown,
    )
    sites = probe.sites(context.spec)
    return LensAccumulator(sites, lens, reading, context, plain if probe.compare else None)


def _shipped(spec: ModelSpec) -> Path:
    hint = f"train one with the recipe {RECIPE}, then give its folder with --checkpoint"
    return find_checkpoint(spec, RECIPE, what="tuned lens", hint=hint)
