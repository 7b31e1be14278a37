"""Attention as a graph: how many edges carry it, which way they run, how fast it mixes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.planted_states import PlantedStates, estimate_of, plant_heads
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import UNIFORM_ATTENTION
from workbench.methods.per_unit import Measured, ReadsAttention
from workbench.methods.registry import probe
from workbench.model.sites import Kind
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Axes, Metric, Plot
from workbench.result.peak import smallest
from workbench.result.samples import Samples

_HEADS: Axes = ("layer", "head")
_share = partial(Metric, unit="proportion", axes=_HEADS, bounds=(0.0, 1.0))
_FEWEST = 3  # tokens; the graph of two has one edge


@probe("attention-graph", source="Ibtehaz & Kihara 2023, arXiv:2305.04934")
@dataclass(frozen=True, kw_only=True)
class AttentionGraph(ReadsAttention):
    """Read every head as a weighted graph: sparsity, hubs, reciprocity and spectral gap.

    Nodes are the tokens of a text, the edge from query i to key j weighs a_ij. Sparsity is the
    share of the edges a query may use that carry less than `least` of what uniform attention
    gives them; `hub` the largest share of all attention that one token receives; `gap` the second
    smallest eigenvalue of the normalised Laplacian of (A + Aᵀ)/2, 0 where the graph falls apart.
    Causal attention never runs both ways between two tokens, so reciprocity is that of the graph
    of *words*, equal tokens being one node: Σ min(w_ij, w_ji) / Σ w_ij over i ≠ j. The null is
    uniform attention over what each query sees.

    Units: shares of edges and of attention; the gap is a number from 0 to n/(n − 1).

    Cost: one symmetric eigenvalue problem of the text's length for each head.

    Source: the paper reads causal attention as a protein graph for a network on it; the
    statistics are standard (Newman 2010, sections 7.10 and 6.13), the graph of words is ours.
    """

    metrics: ClassVar = {
        "sparsity": _share(help="Edges that carry next to nothing."),
        "hub": _share(help="Attention on the token that gets most."),
        "reciprocity": _share(help="Attention between words that is returned."),
        "gap": Metric(unit="eigenvalue", help="Second eigenvalue of the Laplacian.", axes=_HEADS),
    }
    controls_of: ClassVar = UNIFORM_ATTENTION
    plots: ClassVar = (
        Plot(title="Spectral gap", metrics=("gap",), axes=_HEADS),
        Plot(title="Edges that carry next to nothing", metrics=("sparsity",), axes=_HEADS),
        Plot(title="Attention as a graph", metrics=("sparsity", "hub", "reciprocity", "gap")),
    )

    least: float = option(0.1, help="Of uniform attention; an edge below is none.", low=0, high=1)

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        rows, null = [], []
        patterns = trace.stack(Kind.ATTN_PATTERN).cpu()
        for i in range(len(examples)):
            ids = torch.tensor(trace.tokens.row(i))
            n = len(ids)
            columns = trace.tokens.near.mask[i].nonzero()[:, 0]
            weights = patterns[:, i][..., columns, :][..., columns].double()
            even = torch.ones(n, n, dtype=torch.float64).tril()
            even = even / even.sum(dim=-1, keepdim=True)
            rows.append(graph_statistics(weights, ids, self.least))
            null.append(graph_statistics(even[None, None], ids, self.least))
        return Measured(
            values=dict(zip(self.metrics, torch.stack(rows, dim=1), strict=True)),
            controls={"uniform": dict(zip(self.metrics, torch.stack(null, dim=1), strict=True))},
        )

    def summary(self, found: Samples) -> str:
        mixes = found.estimate("gap", "uniform").told(
            "Heads mix the tokens of a text {} even attention would",
            *("faster than", "more slowly than", "about as fast as"),
        )
        slowest, sparse = smallest(found, "gap"), found.estimate("sparsity", "uniform")
        return f"{mixes}; slowest is {slowest}; {sparse}."

    @staticmethod
    def example(generator: torch.Generator) -> PlantedStates:
        """Heads whose attention all goes to the first token, a hub of 1."""
        return replace(plant_heads(generator), read=estimate_of("hub"))


def graph_statistics(
    weights: Float[Tensor, "*head n n"], ids: Int[Tensor, " n"], least: float
) -> Float[Tensor, "statistic *head"]:
    """Return sparsity, hub, reciprocity and spectral gap of every graph; NaN below three nodes."""
    n = len(ids)
    if n < _FEWEST:
        return torch.full((4, *weights.shape[:-2]), torch.nan, dtype=weights.dtype)
    seen = torch.arange(1, n + 1, dtype=weights.dtype)[:, None]
    allowed = torch.ones(n, n, dtype=torch.bool).tril()
    weak = (weights * seen < least) & allowed
    sparsity = weak.sum(dim=(-2, -1)) / allowed.sum()
    hub = (weights.sum(dim=-2) / n).amax(dim=-1)
    return torch.stack([sparsity, hub, reciprocity(merged(weights, ids)), spectral_gap(weights)])


def merged(
    weights: Float[Tensor, "*head n n"], ids: Int[Tensor, " n"]
) -> Float[Tensor, "*head k k"]:
    """Return the graph whose nodes are the different tokens of the text."""
    _, node = ids.unique(return_inverse=True)
    member = torch.nn.functional.one_hot(node).to(weights.dtype)
    return member.T @ weights @ member


def reciprocity(weights: Float[Tensor, "*head n n"]) -> Float[Tensor, "*head"]:
    """Return Σ min(w_ij, w_ji) / Σ w_ij over i ≠ j; NaN where no edge leaves its node."""
    apart = weights - torch.diag_embed(weights.diagonal(dim1=-2, dim2=-1))
    both = torch.minimum(apart, apart.transpose(-2, -1)).sum(dim=(-2, -1))
    return both / apart.sum(dim=(-2, -1))


def spectral_gap(weights: Float[Tensor, "*head n n"]) -> Float[Tensor, "*head"]:
    """Return the second smallest eigenvalue of I − D^(−½)·S·D^(−½) with S = (W + Wᵀ)/2."""
    s = (weights + weights.transpose(-2, -1)) / 2
    scale = s.sum(dim=-1).clamp(min=1e-300).rsqrt()
    laplacian = torch.eye(s.shape[-1], dtype=s.dtype) - scale[..., None] * s * scale[..., None, :]
    found: Tensor = torch.linalg.eigvalsh(laplacian)[..., 1].clamp(min=0)
    return found
