"""How far back every head looks, and how uncertain the model is, position by position."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probes.planted_states import PlantedStates, estimate_of, plant_near_heads
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import shuffled_tokens
from workbench.methods.next_token import following_tokens, next_token
from workbench.methods.per_unit import Measured, ReadsAttention
from workbench.methods.registry import probe
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Axes, Control, Metric, Plot
from workbench.result.peak import largest
from workbench.result.samples import Samples

_FINAL = Site(Kind.FINAL_NORM)
_AXES: Axes = ("layer", "head", "position")
_HEADS: Axes = ("layer", "head")


@probe("attention-distance", source="Fan et al. 2024, ELM, arXiv:2410.16257")
@dataclass(frozen=True, kw_only=True)
class AttentionDistance(ReadsAttention):
    """Measure how far back heads look and how random the next token is at every position.

    Distance is Σ_j a_ij·(i − j) in tokens; `reach` divides it by the distance of uniform
    attention over what the query sees, i/2, so that 1 is uniform, 0 the token itself and 2 the
    first token. Weight on the first token is often parked there and not read: `away` leaves that
    token out and shares its weight among the others. Entropy is that of the next token given all
    before it, divided by ln V: 1 is a token that cannot be guessed at all. Controls: uniform
    attention in closed form; for the entropy, the same tokens in random order.

    Units: distance in tokens; reach, away and entropy are ratios.

    Cost: one pass with all attention patterns, and one more for the shuffled text.

    Source: ELM, section 3, finds image tokens far more random than words and more global
    attention in larger models; dividing by uniform attention and leaving the first token out are
    ours.
    """

    metrics: ClassVar = {
        "distance": Metric(unit="tokens", help="Mean distance to what is read.", axes=_AXES),
        "reach": Metric(unit="ratio", help="Over that of uniform attention.", axes=_AXES),
        "away": Metric(unit="ratio", help="The same without the first token.", axes=_AXES),
        "entropy": Metric(
            unit="of ln V", help="Entropy of the next token.", axes=("position",), bounds=(0, 1)
        ),
    }
    controls_of: ClassVar = {
        "null": Control("uniform or shuffled", "uniform attention; tokens in random order")
    }
    plots: ClassVar = (
        Plot(title="How far heads look, uniform is 1", metrics=("reach", "away")),
        Plot(title="Without the first token", metrics=("away",), axes=_HEADS),
        Plot(title="Distance in tokens", metrics=("distance",), axes=_HEADS),
        Plot(title="Uncertainty at each token", metrics=("entropy",), axes=("position",)),
    )

    longest: int = option(96, help="Cut each text to so many.", low=4, high=1024, unit="tokens")
    predictions: bool = option(True, help="Also take the entropy of the next token.")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return (*super().sites(spec), *((_FINAL,) if self.predictions else ()))

    def price(self, spec: ModelSpec) -> int:
        return int(self.predictions)

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        mask = trace.tokens.near.mask
        layers = [distances(x, mask) for x in trace.stack(Kind.ATTN_PATTERN).cpu()]
        even = torch.tril(mask[:, :, None] & mask[:, None, :]).double()
        even = even / even.sum(dim=-1, keepdim=True).clamp(min=1)
        names = ("distance", "reach", "away")
        values = dict(zip(names, torch.stack(layers, dim=2), strict=True))
        null = dict(zip(names, distances(even[:, None], mask)[:, :, None], strict=True))
        if self.predictions:
            values["entropy"] = _entropy(trace.activations[_FINAL], trace.tokens, context)
            order = shuffled_tokens(trace.tokens, context, "attention-distance")
            again = context.rerun(order, read=(_FINAL,))
            null["entropy"] = _entropy(again.activations[_FINAL], order, context)
        return Measured(values=values, controls={"null": null})

    def summary(self, found: Samples) -> str:
        entropy = f"; {found.estimate('entropy', 'null')}" if found.has("entropy") else ""
        if not np.isfinite(found.mean("away").value).any():
            return f"No text has the three tokens that a distance needs{entropy}."
        reach = found.estimate("away", "null").told(
            "Beside the first token, heads look {} even attention would",
            *("farther back than", "less far back than", "about as far back as"),
        )
        return f"{reach}; farthest looks {largest(found, 'away')}{entropy}."

    @staticmethod
    def example(generator: torch.Generator) -> PlantedStates:
        """A head that looks at the token before: a distance of one."""
        return plant_near_heads(read=estimate_of("distance", sign=-1), generator=generator)


def distances(
    pattern: Float[Tensor, "batch head query key"], mask: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "score batch head query"]:
    """Return distance, reach and reach without the first token; NaN where only one is seen."""
    weights = pattern.double()
    place = mask.double().cumsum(dim=1) - 1
    gap = (place[:, :, None] - place[:, None, :]).clamp(min=0)[:, None]
    later = (place > 0).double()[:, None, None, :] * mask[:, None, None, :]
    distance = (weights * gap).sum(dim=-1)
    rest = weights * later
    away = (rest * gap).sum(dim=-1) / rest.sum(dim=-1).clamp(min=1e-12)
    i = place[:, None]
    found = torch.stack([distance, 2 * distance / i, 2 * away / (i - 1)])
    return found.masked_fill((i < 2)[None], torch.nan)


def _entropy(
    final: Float[Tensor, "batch pos d_model"], tokens: Tokens, context: Context
) -> Float[Tensor, "batch pos"]:
    following = following_tokens(tokens.ids, tokens.mask)
    after = next_token(final, following, context, normed=True)
    size = context.spec.d_vocab if context.spec else 2
    return after.entropy / float(np.log(size))
