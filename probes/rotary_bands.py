"""Which frequencies of the rotary positions a prediction needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import Unsupported
from workbench.methods.contracts import Context, Example
from workbench.methods.next_token import compare
from workbench.methods.per_unit import Measured, PerUnit
from workbench.methods.registry import probe
from workbench.model.edits import Edit, Op
from workbench.model.model import Model
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Axis, Control, Metric, Plot
from workbench.result.samples import Samples

_FINAL = Site(Kind.FINAL_NORM)
_BANDS = ("fastest", "fast", "slow", "slowest")


@probe("rotary-bands", source="Yuan et al. 2025, Lumos-1, arXiv:2507.08801")
@dataclass(frozen=True, kw_only=True)
class RotaryBands(PerUnit):
    """Take each quarter of the rotary frequencies from every query and see what changes.

    Rotary positions turn pair m of a head's dimensions by position·θ_m, so a query and a key
    meet as a sum over pairs. With the queries of a band set to 0, its share of that sum is gone
    and nothing else changes. `kl` is KL(full‖without) of the next token; `weight` the share of
    ‖q‖·‖k‖ that the band holds, the most it can add to a score. Control: as many pairs drawn from
    all bands.

    Units: KL in nats, weight a proportion; bands are quarters of the pairs, fastest first.

    Cost: eight passes beside the first.

    Raises:
        Unsupported: the model has no rotary positions, or pairs dimensions in another way.

    Source: Lumos-1, section 3.1, gives frequencies to time, height and width; the ablation of
    bands in text is ours. Dimensions that are not turned, in partly rotary heads, are kept.
    """

    metrics: ClassVar = {
        "kl": Metric(
            unit="nats", help="KL of the next token without it.", axes=("band", "position")
        ),
        "weight": Metric(
            unit="proportion", help="Share of ‖q‖·‖k‖.", axes=("band", "layer"), headline=None
        ),
    }
    axes_of: ClassVar = {"band": Axis(help="Quarter of the frequencies.", labels=_BANDS)}
    controls_of: ClassVar = {
        "random": Control("random pairs", "as many pairs drawn from all bands")
    }
    plots: ClassVar = (
        Plot(title="Distance without a band", metrics=("kl",), axes=("band",)),
        Plot(title="What a band can add to scores", metrics=("weight",), axes=("band", "layer")),
    )

    off: bool = option(False, help="Change nothing: every distance is then 0.")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return (*every_layer(Kind.Q, spec), *every_layer(Kind.K, spec), _FINAL)

    def price(self, spec: ModelSpec) -> int:
        return 2 * len(_BANDS)

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        n_pairs = rotary_pairs(context.loaded)
        bands = np.array_split(np.arange(n_pairs), len(_BANDS))
        drawn = context.stream("rotary-bands").permutation(n_pairs)
        mixed = [drawn[band] for band in bands]
        kl, null = (
            torch.stack([self._kl(pairs, n_pairs, trace, context) for pairs in some], dim=1)
            for some in (bands, mixed)
        )
        weights = torch.stack([_weights(trace, i, n_pairs, bands) for i in range(len(examples))])
        return Measured(
            values={"kl": kl, "weight": weights},
            controls={
                "random": {
                    "kl": null,
                    "weight": torch.stack(
                        [_weights(trace, i, n_pairs, mixed) for i in range(len(examples))]
                    ),
                }
            },
        )

    def _kl(
        self, pairs: Int[np.ndarray, " n"], n_pairs: int, trace: Trace, context: Context
    ) -> Float[Tensor, "batch pos"]:
        kept = torch.ones(trace.spec.d_head)
        if not self.off:
            kept[torch.from_numpy(np.r_[pairs, pairs + n_pairs])] = 0
        edits = [
            Edit(site=site, op=Op.SCALE, value=kept, enabled=not self.off)
            for site in every_layer(Kind.Q, trace.spec)
        ]
        again = context.rerun(trace.tokens, read=(_FINAL,), edits=edits)
        kl, _ = compare(trace.activations[_FINAL], again.activations[_FINAL], context)
        return kl

    def summary(self, found: Samples) -> str:
        each = [found.estimate("kl", "random", {"band": band}) for band in _BANDS]
        most = max(each, key=lambda e: e.value or 0.0)
        return f"The prediction leans most on one band, {most.beside_control} any pairs: {most}."


def rotary_pairs(model: Model) -> int:
    """Return how many pairs of dimensions are turned, dimension m with dimension m + n.

    Raises:
        Unsupported: there are none, or they are paired in another way.
    """
    module = model.backend.module
    turns: Any = [
        part.inv_freq
        for part in module.modules()
        if "inv_freq" in dict(part.named_buffers(recurse=False))
    ]
    sizes = {len(turn) for turn in turns}
    if len(sizes) != 1:
        raise Unsupported(
            f"{model.spec.name} ({model.spec.architecture}) has no rotary positions"
            if not sizes
            else f"{model.spec.name} has rotary positions of several sizes: {sorted(sizes)}",
            hint="take a model with rotary positions, such as Llama, Qwen or GPT-NeoX",
        )
    rotate = getattr(__import__(type(module).__module__, fromlist=["_"]), "rotate_half", None)
    half = None if rotate is None else rotate(torch.arange(4.0)).tolist()
    if half != [-2.0, -3.0, 0.0, 1.0]:
        raise Unsupported(
            f"{model.spec.name} pairs the dimensions of rotary positions in another way",
            hint="bands are known where dimension m goes with m + n, as in Llama and GPT-NeoX",
        )
    return int(sizes.pop())


def _weights(
    trace: Trace, i: int, n_pairs: int, bands: Sequence[Int[np.ndarray, " n"]]
) -> Float[Tensor, "band layer"]:
    layers = [
        band_weights(trace.row(i, q), trace.row(i, k), n_pairs, bands)
        for q, k in zip(
            every_layer(Kind.Q, trace.spec), every_layer(Kind.K, trace.spec), strict=True
        )
    ]
    return torch.stack(layers, dim=1)


def band_weights(
    q: Float[Tensor, "pos head d_head"],
    k: Float[Tensor, "pos group d_head"],
    n_pairs: int,
    bands: Sequence[Int[np.ndarray, " n"]],
) -> Float[Tensor, " band"]:
    """Return each band's share of Σ ‖q_m‖·‖k_m‖ over the pairs, means over positions and heads."""
    lengths = [
        x[..., : 2 * n_pairs].double().unflatten(-1, (2, n_pairs)).norm(dim=-2).mean(dim=0)
        for x in (q, k)
    ]
    keys = lengths[1].repeat_interleave(len(lengths[0]) // len(lengths[1]), dim=0)
    product = (lengths[0] * keys).sum(dim=0)
    parts = torch.stack([product[torch.from_numpy(band)].sum() for band in bands])
    found: Tensor = parts / product.sum()
    return found
