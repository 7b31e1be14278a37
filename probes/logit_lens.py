"""The logit lens: every layer read through the model's own output head."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from probes.lens.metrics import Translate, untranslated
from probes.lens.reading import Lens
from probes.planted_states import PlantedStates, at_layer, plant_next_token
from workbench.methods.contracts import Context
from workbench.methods.registry import probe
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.options import option
from workbench.result.samples import VALUE


@probe("logit-lens", source="nostalgebraist 2020, LessWrong: interpreting GPT, the logit lens")
@dataclass(frozen=True, kw_only=True)
class LogitLens(Lens):
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

    embedding: bool = option(False, help="Also read the input of the first layer, as layer -1.")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        first = (Site(Kind.RESID_PRE, 0),) if self.embedding else ()
        return (*first, *super().sites(spec))

    def translations(self, context: Context) -> Mapping[str, Translate]:
        return {VALUE: untranslated}

    @staticmethod
    def example(generator: torch.Generator) -> PlantedStates:
        """A made-up model whose first layer already names the next token."""
        return plant_next_token(read=at_layer("agreement", 0), generator=generator)
