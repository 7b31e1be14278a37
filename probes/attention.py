"""Where every head looks: attention patterns and their scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probes.planted_states import plant_heads
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import UNIFORM_ATTENTION
from workbench.methods.per_unit import Measured, ReadsAttention
from workbench.methods.registry import probe
from workbench.model.trace import Trace
from workbench.result.metric import Axes, Metric, Plot
from workbench.result.peak import largest
from workbench.result.samples import Samples

_FROM = 2  # queries before this see the first and the previous token as one, or only themselves
_AXES: Axes = ("layer", "head", "position")
_HEADS: Axes = ("layer", "head")
_weight = partial(Metric, unit="attention", axes=_AXES, bounds=(0.0, 1.0))


@probe(
    "attention-pattern",
    source="Clark et al. 2019, arXiv:1906.04341, section 3; Xiao et al. 2023, arXiv:2309.17453",
)
@dataclass(frozen=True, kw_only=True)
class AttentionPattern(ReadsAttention):
    """See where every head of every layer looks: first token, previous token, or all over.

    `to_first` and `to_previous` are the mean attention weight on the first token and on the one
    before the query; entropy is −Σ a ln a over the tokens a query sees. Queries 2, 3, … count.
    The null is uniform attention over what each query sees, in closed form.

    Units: shares are attention weight (0 to 1), entropy is in nats.

    Means are over queries within a text, then over texts; intervals resample texts. The whole
    pattern of the first text is kept as the array `pattern` [layer, head, query, key].

    Source: Clark et al. 2019, section 3 (they study an encoder; here a query sees only what came
    before). Attention on the first token: Xiao et al. 2023, section 3.
    """

    metrics: ClassVar = {
        "to_first": _weight(help="Weight on the first token."),
        "to_previous": _weight(help="Weight on the token before."),
        "entropy": Metric(unit="nats", help="Entropy of the attention weights.", axes=_AXES),
    }
    controls_of: ClassVar = UNIFORM_ATTENTION
    plots: ClassVar = (
        Plot(title="Attention on the first token", metrics=("to_first",), axes=_HEADS),
        Plot(title="Where heads look", metrics=("to_first", "to_previous", "entropy")),
        Plot(title="Attention on the previous token", metrics=("to_previous",), axes=_HEADS),
    )
    every_token: ClassVar = {"longest": 1024}
    example = staticmethod(plant_heads)

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        mask = trace.tokens.mask
        layers = [
            head_scores(trace.activations[site], mask.to(trace.activations[site].device))
            for site in self.sites(trace.spec)
        ]
        scores = torch.stack(layers, dim=2)
        uniform = uniform_scores(mask)[:, :, None, None]
        first = min(range(len(examples)), key=lambda i: examples[i].number)
        rows = torch.stack([trace.row(first, site) for site in self.sites(trace.spec)])
        shown = self.is_shown(examples[first])
        return Measured(
            values=dict(zip(self.metrics, scores, strict=True)),
            controls={"uniform": dict(zip(self.metrics, uniform, strict=True))},
            arrays={"pattern": rows.cpu().numpy().astype(np.float16)} if shown else {},
            arrays_of=first,
        )

    def summary(self, found: Samples) -> str:
        first, most = found.estimate("to_first", "uniform"), largest(found, "to_first")
        return f"Heads look at the first token {first.beside_control} evenly: {first}; most {most}."


def head_scores(
    pattern: Float[Tensor, "batch head query key"], mask: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "score batch head query"]:
    """Return the scores of every head at each query, undefined before the third token."""
    weights = pattern.float()
    first = mask.long().argmax(dim=1)[:, None, None, None].expand(*weights.shape[:3], 1)
    previous = torch.full(weights.shape[:3], torch.nan, device=weights.device)
    previous[..., 1:] = weights.diagonal(offset=-1, dim1=-2, dim2=-1)
    scores = torch.stack(
        [
            weights.gather(-1, first)[..., 0],
            previous,
            -torch.special.xlogy(weights, weights).sum(dim=-1),
        ]
    )
    return scores.masked_fill(_is_early(mask)[None, :, None, :], torch.nan)


def uniform_scores(mask: Bool[Tensor, "batch pos"]) -> Float[Tensor, "score batch query"]:
    """Return the scores of a head that looks at all it sees alike."""
    visible = mask.long().cumsum(dim=1).clamp(min=1).double()
    scores = torch.stack([1 / visible, 1 / visible, visible.log()])
    return scores.masked_fill(_is_early(mask)[None], torch.nan)


def _is_early(mask: Bool[Tensor, "batch pos"]) -> Bool[Tensor, "batch pos"]:
    return mask.long().cumsum(dim=1) <= _FROM
