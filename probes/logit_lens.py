"""The logit lens: every layer read through the model's own output head."""

from dataclasses import dataclass
from typing import Literal

import torch

from probes.lens.accumulator import LensAccumulator, Reading
from probes.lens.metrics import LensMath
from probes.planted import PlantedTraces, plant_next_token
from workbench.errors import InputError
from workbench.methods.contracts import Context
from workbench.methods.registry import probe
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.options import option


@probe("logit-lens", source="nostalgebraist 2020, LessWrong: interpreting GPT, the logit lens")
@dataclass(frozen=True, kw_only=True)
class LogitLens:
    """Read each layer's residual stream as a next-token prediction, without training.

    The state after every layer goes through the model's final norm and output head. Each
    distribution q is compared with the final one p (KL(p‖q), shared first choice) and with the
    text (negative log-likelihood and rank of the next token). Means are taken over positions
    within a text, then over texts; intervals resample texts.

    Controls: random vectors of the same length through the same head, and the states of other
    positions of the same text.

    Cost: one product with the output head per layer and position; on one CPU core about 1 ms
    each for a vocabulary of 49k and width 576. `every` and `positions` cut it in proportion;
    with one position per text the random control doubles it, which `control_every` cuts.

    Units: KL, negative log-likelihood and entropy in nats; agreement is a proportion.

    Source: nostalgebraist 2020; KL and the bias of the plain lens as in Belrose et al. 2023,
    arXiv:2303.08112, section 2.
    """

    positions: Literal["all", "last"] = option("all", help="Read all positions, or the last one.")
    every: int = option(4, help="Read every k-th position.", low=1, high=100_000)
    skip_first: bool = option(True, help="Leave out the first position, an outlier in most models.")
    embedding: bool = option(False, help="Also read the input of the first layer, as layer -1.")
    controls: int = option(
        4, help="Positions per text to compare with the controls.", low=1, high=100_000
    )
    control_every: int = option(
        1,
        help="Compare one text in this many with the controls, chosen by its hash.",
        low=1,
        high=1_000_000,
    )
    shown: int = option(24, help="Tokens of one text in the heat map.", low=1, high=1000)
    memory: int = option(
        96, help="Most memory for tensors over the vocabulary.", low=1, high=1 << 20, unit="MiB"
    )

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        first = (Site(Kind.RESID_PRE, 0),) if self.embedding else ()
        return (*first, *every_layer(Kind.RESID_POST, spec))

    def start(self, context: Context) -> LensAccumulator:
        if context.spec is None or context.unembed is None:
            raise InputError("a lens needs a model", hint="activation files have no output head")
        lens = LensMath(
            unembed=context.unembed,
            translate=lambda _, h: h,
            d_vocab=context.spec.d_vocab,
            budget=self.memory * (1 << 20) // 4,
        )
        reading = Reading(
            positions=self.positions,
            every=self.every,
            skip_first=self.skip_first,
            controls=self.controls,
            control_every=self.control_every,
            shown=self.shown,
        )
        return LensAccumulator(self.sites(context.spec), lens, reading, context)

    @staticmethod
    def example(generator: torch.Generator) -> PlantedTraces:
        """A made-up model whose first layer already names the next token."""
        return plant_next_token(
            read=lambda found: float(found.tables["layers"]["agreement"].iloc[0]),
            generator=generator,
        )
