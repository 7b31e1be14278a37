"""Which feed-forward blocks hardly move the residual stream, and what skipping them costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probes.planted_states import PlantedStates, estimate_of, plant_blocks
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import draws, random_like
from workbench.methods.per_unit import Measured, PerUnit
from workbench.methods.registry import probe
from workbench.methods.skip_runs import FINAL, skip_cost
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Control, Metric, Plot
from workbench.result.peak import largest
from workbench.result.samples import Samples

_POS, _BOTH = ("position",), ("layer", "position")
_cosine = partial(torch.nn.functional.cosine_similarity, dim=-1)
_share = partial(Metric, unit="proportion", axes=_POS, bounds=(0.0, 1.0))


@probe("ffn-saturation", source="Jaiswal et al. 2024, FFN-SkipLLM, arXiv:2404.03865")
@dataclass(frozen=True, kw_only=True)
class FfnSaturation(PerUnit):
    """Measure how little each feed-forward block moves the residual stream, and skip those.

    Saturation is s = cos(x, x + FFN(norm(x))), the stream before and after the block. In the skip
    run a token leaves out the blocks of the next `span` layers once s ≥ `threshold`; the first and
    last `cold` layers and the first `first` tokens run in full, and attention always does, so
    that no key is missing. A block that moves little may still matter: compare 1 − s with the KL
    beside it. Controls: a random vector as long as the block's output in its place, and as many
    blocks per token skipped at random.

    Units: saturation is a cosine, KL in nats, agreement and share of skipped blocks proportions.

    Source: FFN-SkipLLM, section 3. We differ: s is that of the full model, not of the skipping
    one; `cold` is an option and not taken from a calibration set.
    """

    metrics: ClassVar = {
        "saturation": Metric(unit="cosine", help="cos before and after the block.", axes=_BOTH),
        "kl": Metric(unit="nats", help="KL(full‖skipped) of the next token.", axes=_POS),
        "agreement": _share(help="Same first choice when skipping."),
        "skipped": _share(help="Share of blocks skipped."),
        "kl_alone": Metric(unit="nats", help="KL with only this block skipped.", axes=_BOTH),
    }
    controls_of: ClassVar = {
        "random": Control("random", "a random vector as long, or as many random blocks skipped")
    }
    plots: ClassVar = (
        Plot(title="Saturation, 1 where a block moves nothing", metrics=("saturation",)),
        Plot(title="Distance with only this block skipped", metrics=("kl_alone",)),
        Plot(title="Saturation at every token", metrics=("saturation",), axes=_BOTH),
        Plot(title="Distance of the skip run", metrics=("kl",), axes=_POS),
    )

    quick: ClassVar = {"alone": False}

    threshold: float = option(0.95, help="Skip from this saturation on; above 1 none.", low=-1)
    span: int = option(1, help="Layers skipped after a saturated one.", low=1, high=1000)
    cold: int = option(4, help="First and last layers that always run.", low=0, high=1000)
    first: int = option(25, help="First tokens of a text that run in full.", low=0, high=100_000)
    alone: bool = option(True, help="Also skip each block alone: one pass per layer.")
    skip: bool = option(True, help="Run the model with blocks skipped.")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        added, streams = every_layer(Kind.MLP_OUT, spec), every_layer(Kind.RESID_POST, spec)
        return (*added, *streams, *((FINAL,) if self.skip or self.alone else ()))

    def price(self, spec: ModelSpec) -> int:
        return 2 * self.skip + spec.n_layers * self.alone

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        after, added = (trace.stack(k).double() for k in (Kind.RESID_POST, Kind.MLP_OUT))
        before = after - added
        like = random_like(added.movedim(0, 2), trace.tokens, context, "ffn noise").movedim(2, 0)
        saturation = _cosine(before, after)
        found = {"saturation": saturation.transpose(0, 1)}
        null = {"saturation": _cosine(before, before + like).transpose(0, 1)}
        if self.skip:
            chosen = self.skips(saturation, trace.tokens.mask)
            found |= self._cost(chosen, trace, context)
            null |= self._cost(self._at_random(chosen, trace, context), trace, context)
        if self.alone:
            one = torch.eye(len(saturation), dtype=torch.bool)[:, :, None, None]
            each = (off.expand(saturation.shape) for off in one)
            costs = [self._cost(off, trace, context)["kl"] for off in each]
            found["kl_alone"] = torch.stack(costs, dim=1)
        return Measured(values=found, controls={"random": null})

    def skips(
        self, saturation: Float[Tensor, "layer batch pos"], seen: Bool[Tensor, "batch pos"]
    ) -> Bool[Tensor, "layer batch pos"]:
        """Return which blocks are left out; a skipped block is not asked for its saturation."""
        n, chosen = len(saturation), torch.zeros_like(saturation, dtype=torch.bool)
        late = (seen.long().cumsum(dim=1) > self.first).to(saturation.device)
        left = torch.zeros_like(saturation[0], dtype=torch.long)
        for layer in range(min(self.cold, n), max(n - self.cold, 0)):
            chosen[layer] = (left > 0) & late
            saturated = (saturation[layer] >= self.threshold) & ~chosen[layer]
            left = torch.where(saturated, self.span, (left - 1).clamp(min=0))
        return chosen

    def _at_random(
        self, chosen: Bool[Tensor, "layer batch pos"], trace: Trace, context: Context
    ) -> Bool[Tensor, "layer batch pos"]:
        """Skip as many blocks at each token, anywhere outside the cold layers."""
        noise = torch.full(chosen.shape, torch.inf)
        warm = noise[min(self.cold, len(chosen)) : max(len(chosen) - self.cold, 0)]
        for i, draw in enumerate(draws(trace.tokens, context, "ffn blocks")):
            columns = trace.tokens.mask[i].cpu().nonzero()[:, 0]
            drawn = draw.random((len(columns), len(warm)), dtype=np.float32)
            warm[:, i, columns] = torch.from_numpy(drawn.T.copy())
        return noise.argsort(dim=0).argsort(dim=0).to(chosen.device) < chosen.sum(dim=0)

    def _cost(
        self, chosen: Bool[Tensor, "layer batch pos"], trace: Trace, context: Context
    ) -> dict[str, Float[Tensor, "batch pos"]]:
        cost = skip_cost(~chosen, (Kind.MLP_OUT,), trace, context)
        return {**cost, "skipped": chosen.double().mean(dim=0)}

    def summary(self, found: Samples) -> str:
        most = largest(found, "saturation")
        return f"The block that moves the stream least is that of {most}{self._told(found)}."

    def _told(self, found: Samples) -> str:
        """Return what skipping costs, or why there was nothing to skip."""
        if not found.has("kl"):
            return ""
        if not found.estimate("skipped").value:
            return (
                f"; no block was skipped: none saturated after the first {self.first} tokens and "
                f"between the first and last {self.cold} layers"
            )
        return f"; skipping: {found.estimate('kl', 'random')}"

    @staticmethod
    def example(generator: torch.Generator) -> PlantedStates:
        """Blocks that turn the stream round: a cosine of −1."""
        return plant_blocks(read=estimate_of("saturation", sign=-1), generator=generator)
