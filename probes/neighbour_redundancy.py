"""How redundant the states of neighbouring tokens are: what merging them keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probes.planted_states import PlantedStates, plant_steps
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import shuffled_order
from workbench.methods.per_unit import Measured, PerUnit
from workbench.methods.registry import probe
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Axis, Control, Metric, Plot
from workbench.result.samples import Samples

_MERGED = (2, 4, 8)


@probe("neighbour-redundancy", source="Ma et al. 2025, Token-Shuffle, arXiv:2504.17789")
@dataclass(frozen=True, kw_only=True)
class NeighbourRedundancy(PerUnit):
    """Measure how much of the states of a text is left when neighbouring tokens are merged.

    `kept` is the share of the variance of the states, around the mean of their text, that is left
    when every s neighbours are replaced by their mean: 1 where neighbours are the same, about 1/s
    where they have nothing in common, (1 + 2·Σ (1 − k/s)·ρᵏ)/s for states of which each keeps ρ of
    the one before. `rebuilt` is the share that the best multiple of the state before gives back,
    r² of neighbours, ρ² there. The first token, an outlier in most models, is left out. The null
    takes the states in random order.

    Units: shares of variance. Texts with fewer than 2·s tokens after the first are not counted
    at s.

    Cost: no pass of its own; a few sums over the states.

    Source: Token-Shuffle merges neighbouring image tokens and unfolds them again; the measure of
    what such a merge can keep is ours.
    """

    metrics: ClassVar = {
        "kept": Metric(
            unit="proportion", help="Variance left after merging.", axes=("layer", "merged")
        ),
        "rebuilt": Metric(
            unit="proportion", help="Variance given back by the token before.", axes=("layer",)
        ),
    }
    axes_of: ClassVar = {"merged": Axis(help="Tokens merged.", unit="tokens", labels=_MERGED)}
    controls_of: ClassVar = {
        "shuffled": Control("shuffled order", "the states of the text in random order")
    }
    plots: ClassVar = (
        Plot(title="What merging keeps", metrics=("kept",), axes=("layer", "merged")),
        Plot(title="Given back by the token before", metrics=("rebuilt",)),
    )

    site: Literal["resid_post", "resid_mid", "resid_pre", "attn_out", "mlp_out"] = option(
        "resid_post", help="Kind of activation that is merged at every layer."
    )

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return every_layer(Kind(self.site), spec)

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        states = torch.stack([trace.activations[site] for site in self.sites(trace.spec)]).cpu()
        seen = trace.tokens.near.mask
        order = shuffled_order(trace.tokens, context, "neighbour-redundancy")
        null = states.gather(2, order[None, :, :, None].expand(states.shape))
        return Measured(
            values=redundancy(states, seen), controls={"shuffled": redundancy(null, seen)}
        )

    def summary(self, found: Samples) -> str:
        kept = found.estimate("kept", "shuffled").told(
            "Merging neighbouring states {} than merging any",
            *("keeps more", "keeps less", "is not shown to keep more"),
        )
        sizes, pairs = ", ".join(map(str, _MERGED)), found.mean("kept").value[:, 0]
        if not np.isfinite(pairs).any():
            return f"{kept}."
        layer = found.layers[int(np.nanargmax(pairs))]
        most = float(np.nanmax(pairs))
        return f"{kept} over {sizes} tokens; pairs keep most in layer {layer} ({most:.3g})."

    @staticmethod
    def example(generator: torch.Generator) -> PlantedStates:
        """States that keep nine tenths of the one before: 0.81 of the variance is rebuilt."""
        return plant_steps(
            keep=0.9,
            read=lambda found: float(found.estimate("rebuilt").value or 0.0) ** 0.5,
            generator=generator,
        )


def redundancy(
    states: Float[Tensor, "layer batch pos d_model"], seen: Bool[Tensor, "batch pos"]
) -> dict[str, Float[Tensor, "batch layer ..."]]:
    """Return every metric of every text; the first token counts for nothing."""
    texts = [states[:, i, seen[i]][:, 1:].double() for i in range(len(seen))]
    kept = [torch.stack([merged_variance(x, s) for s in _MERGED], dim=-1) for x in texts]
    return {"kept": torch.stack(kept), "rebuilt": torch.stack([_rebuilt(x) for x in texts])}


def merged_variance(x: Float[Tensor, "layer pos d_model"], size: int) -> Float[Tensor, " layer"]:
    """Return the share of variance between runs of `size` tokens; NaN below two runs."""
    n = x.shape[1] // size
    if n < 2:
        return torch.full((len(x),), torch.nan, dtype=x.dtype)
    x = x[:, : n * size]
    x = x - x.mean(dim=1, keepdim=True)
    means = x.unflatten(1, (n, size)).mean(dim=2)
    found: Tensor = (means**2).mean(dim=(1, 2)) / (x**2).mean(dim=(1, 2))
    return found


def _rebuilt(x: Float[Tensor, "layer pos d_model"]) -> Float[Tensor, " layer"]:
    if x.shape[1] < 3:
        return torch.full((len(x),), torch.nan, dtype=x.dtype)
    x = x - x.mean(dim=1, keepdim=True)
    before, after = x[:, :-1], x[:, 1:]
    shared = (before * after).sum(dim=(1, 2))
    return shared**2 / ((before**2).sum(dim=(1, 2)) * (after**2).sum(dim=(1, 2)))
