"""How smoothly hidden states move from token to token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probes.planted_states import PlantedStates, estimate_of, plant_steps
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import shuffled_order
from workbench.methods.per_unit import Measured, PerUnit
from workbench.methods.registry import probe
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Axis, Control, Metric, Plot
from workbench.result.peak import largest
from workbench.result.samples import Samples

_LAGS = (1, 2, 3, 4, 6, 8, 12, 16)
_ALL_BUT_FIRST = "the first token is left out"


@probe("smoothness", source="Walker 2024, Future Token Prediction, arXiv:2410.18160")
@dataclass(frozen=True, kw_only=True)
class Smoothness(PerUnit):
    """Measure how smoothly hidden states move from one token to the next, layer by layer.

    M = mean over t of cos(h_t, h_{t+1}). States of one text share a direction, which makes any
    model look smooth, so the adjusted value is (M − A)/(1 − A) with A the mean cosine of all
    pairs of different tokens of the text: 0 where neighbours are no closer than any two tokens.
    The lag curve is the adjusted value of cos(h_t, h_{t+τ}). The null takes the states of a text
    in random order.

    Units: cosines, −1 to 1. Texts with fewer than three tokens after the first are not counted.

    Source: Walker 2024 reports M of the top layer; the adjustment and the lag curve are ours,
    and the first token, an outlier in most models, is left out.
    """

    metrics: ClassVar = {
        "adjusted": Metric(
            unit="cosine", help="(M − A)/(1 − A), above that of any two tokens.", axes=("layer",)
        ),
        "cosine": Metric(
            unit="cosine", help="M, the cosine of neighbouring tokens.", axes=("layer", "position")
        ),
        "any_pair": Metric(
            unit="cosine", help="A, the mean cosine of any two tokens.", axes=("layer",)
        ),
        "lag_curve": Metric(
            unit="cosine", help="Adjusted cosine of tokens τ apart.", axes=("layer", "lag")
        ),
    }
    axes_of: ClassVar = {"lag": Axis(help="Tokens apart.", unit="tokens", labels=_LAGS)}
    controls_of: ClassVar = {
        "shuffled": Control("shuffled order", "the states of the text in random order")
    }
    plots: ClassVar = (
        Plot(title="Smoothness, adjusted for what all tokens share", metrics=("adjusted",)),
        Plot(title="Cosine of neighbours and of any two tokens", metrics=("cosine", "any_pair")),
        Plot(title="Adjusted cosine by distance", metrics=("lag_curve",), axes=("layer", "lag")),
        Plot(title="Cosine with the next token", metrics=("cosine",), axes=("layer", "position")),
    )

    site: Literal["resid_post", "resid_mid", "resid_pre", "attn_out", "mlp_out"] = option(
        "resid_post", help="Kind of activation that is followed at every layer."
    )

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return every_layer(Kind(self.site), spec)

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        states = torch.stack([trace.activations[site] for site in self.sites(trace.spec)])
        seen = trace.tokens.mask.to(states.device)
        order = shuffled_order(trace.tokens, context, "smoothness order").to(states.device)
        null = states.gather(2, order[None, :, :, None].expand(states.shape))
        return Measured(
            values=smoothness(states, seen), controls={"shuffled": smoothness(null, seen)}
        )

    def summary(self, found: Samples) -> str:
        alike, most = found.estimate("adjusted", "shuffled"), largest(found, "adjusted")
        told = f"Neighbouring tokens are alike {alike.beside_control} any two: {alike}"
        return f"{told}, {_ALL_BUT_FIRST}; smoothest is {most}."

    @staticmethod
    def example(generator: torch.Generator) -> PlantedStates:
        """States that keep nine tenths of the one before: the adjusted value is 0.9."""
        return plant_steps(keep=0.9, read=estimate_of("adjusted"), generator=generator)


def smoothness(
    states: Float[Tensor, "layer batch pos d_model"], seen: Bool[Tensor, "batch pos"]
) -> dict[str, Float[Tensor, "batch layer ..."]]:
    """Return every metric; the first token of each text counts for nothing."""
    late = seen & (seen.long().cumsum(dim=1) > 1)
    unit = torch.nn.functional.normalize(states.double(), dim=-1) * late[..., None]
    n = late.sum(dim=1).double()
    total = unit.sum(dim=2)
    any_pair = ((total * total).sum(dim=-1) - n) / (n * (n - 1))
    any_pair = any_pair.masked_fill((n < 3)[None], torch.nan)
    lagged = [_at_lag(unit, late, lag) for lag in _LAGS]
    means = torch.stack([each.nanmean(dim=-1) for each in lagged], dim=-1)
    curve = (means - any_pair[..., None]) / (1 - any_pair[..., None])
    found = {
        "adjusted": curve[..., 0],
        "cosine": lagged[0],
        "any_pair": any_pair,
        "lag_curve": curve,
    }
    return {name: x.transpose(0, 1) for name, x in found.items()}


def _at_lag(
    unit: Float[Tensor, "layer batch pos d_model"], late: Bool[Tensor, "batch pos"], lag: int
) -> Float[Tensor, "layer batch pos"]:
    """Return cos(h_t, h_{t+lag}) at t, undefined where either is missing."""
    found = torch.full(unit.shape[:3], torch.nan, dtype=unit.dtype, device=unit.device)
    if lag < unit.shape[2]:
        both = late[:, :-lag] & late[:, lag:]
        cosine = (unit[:, :, :-lag] * unit[:, :, lag:]).sum(dim=-1)
        found[:, :, :-lag] = cosine.masked_fill(~both, torch.nan)
    return found
