"""At which layer a prediction is settled, and what a schedule of fewer layers costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probes.planted_states import PlantedStates, at_layer, plant_decisions
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import draws, other_positions
from workbench.methods.next_token import top_tokens
from workbench.methods.per_unit import Measured, PerUnit
from workbench.methods.registry import probe
from workbench.methods.skip_runs import FINAL, skip_cost
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Control, Metric, Plot
from workbench.result.samples import Samples

_POS = ("position",)
_share = partial(Metric, unit="proportion", axes=_POS, bounds=(0.0, 1.0))


@probe("early-exit", source="Del Corro et al. 2023, SkipDecode, arXiv:2307.02628")
@dataclass(frozen=True, kw_only=True)
class EarlyExit(PerUnit):
    """Find the layer from which a prediction no longer changes, and try SkipDecode's schedule.

    The exit depth is the number of layers after which the logit lens ranks the model's own first
    choice first in every layer. The schedule runs n(t) layers at the t-th token after the prompt:
    the first `warm_up`, and the top n(t) − warm_up. Layers that are left out neither attend nor
    transform; n(t) never rises, so no key is missing. Controls: the first choice at another
    position of the text (shuffled), and as many random layers, nested as the schedule's.

    Units: depth in layers, KL in nats, agreement and share of layers are proportions.

    Source: SkipDecode, section 3: n(t) = round(n_max − (n_max − n_min)·min(t, T−1)/(T−1)). We
    differ: nothing is tuned, T is an option, and exit depth is the companion measure.
    """

    metrics: ClassVar = {
        "exit_depth": Metric(unit="layers", help="Layers until the choice is final.", axes=_POS),
        "kl": Metric(unit="nats", help="KL(full‖scheduled) of the next token.", axes=_POS),
        "agreement": _share(help="Same first choice as scheduled."),
        "layers_run": _share(help="Share of layers that are run."),
        "settled": Metric(
            unit="proportion", help="Choice final by this layer.", axes=("layer", "position"),
            bounds=(0.0, 1.0), headline=None,
        ),
    }  # fmt: skip
    controls_of: ClassVar = {
        "shuffled": Control("choices of other positions"),
        "random": Control("random layers", "as many layers, chosen at random"),
    }
    plots: ClassVar = (
        Plot(title="Choices that are final, layer by layer", metrics=("settled",)),
        Plot(title="Layers until the choice is final", metrics=("exit_depth",), axes=_POS),
        Plot(title="Distance that the schedule costs", metrics=("kl",), axes=_POS),
    )

    least: float = option(0.5, help="Share of layers at the end of the schedule.", low=0, high=1)
    most: float = option(1.0, help="Share of layers in the prompt and at first.", low=0, high=1)
    warm_up: int = option(1, help="First layers, which are always run.", low=0, high=1000)
    prompt: int = option(8, help="Tokens of each text that count as prompt.", low=0, high=100_000)
    horizon: int = option(64, help="Tokens over which the schedule falls.", low=2, high=100_000)
    schedule: bool = option(True, help="Run the schedule; off, exit depths alone.")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        final = (FINAL,) if self.schedule else ()
        return (*every_layer(Kind.RESID_POST, spec), *final)

    def price(self, spec: ModelSpec) -> int:
        return 2 * self.schedule

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        tops = top_tokens(trace.stack(Kind.RESID_POST), context).cpu()
        order = other_positions(trace.tokens, context, "early-exit positions")
        null = exit_depth(tops, tops[-1].gather(1, order))
        depth = exit_depth(tops, tops[-1])
        layer = torch.arange(1, len(tops) + 1)[None, :, None]
        found = {"exit_depth": depth, "settled": (depth[:, None] <= layer).double()}
        controls = {"shuffled": {"exit_depth": null}}
        if self.schedule:
            depths = self.depths(trace.tokens.mask.cpu(), len(tops))
            found |= self._cost(self._scheduled(depths, len(tops)), trace, context)
            controls["random"] = self._cost(self._random(depths, trace, context), trace, context)
        return Measured(values=found, controls=controls)

    def depths(self, seen: Bool[Tensor, "batch pos"], n_layers: int) -> Int[Tensor, "batch pos"]:
        """Return n(t), how many layers are run at each position."""
        most, least = round(self.most * n_layers), round(min(self.least, self.most) * n_layers)
        t = (seen.long().cumsum(dim=1) - 1 - self.prompt).clamp(min=0, max=self.horizon - 1)
        falling = most - (most - least) * t.double() / (self.horizon - 1)
        return falling.round().long().clamp(min=min(self.warm_up, n_layers), max=n_layers)

    def _scheduled(
        self, depths: Int[Tensor, "batch pos"], n_layers: int
    ) -> Bool[Tensor, "layer batch pos"]:
        layer = torch.arange(n_layers)[:, None, None]
        return (layer < self.warm_up) | (layer >= n_layers - (depths - self.warm_up)[None])

    def _random(
        self, depths: Int[Tensor, "batch pos"], trace: Trace, context: Context
    ) -> Bool[Tensor, "layer batch pos"]:
        n = trace.spec.n_layers
        ranks = torch.zeros(n, len(depths), dtype=torch.long)
        for i, draw in enumerate(draws(trace.tokens, context, "early-exit layers")):
            later = self.warm_up + draw.permutation(max(n - self.warm_up, 0))
            order = np.concatenate([np.arange(min(self.warm_up, n)), later]).astype(np.int64)
            ranks[torch.from_numpy(order), i] = torch.arange(n)
        return ranks[:, :, None] < depths[None]

    def _cost(
        self, runs: Bool[Tensor, "layer batch pos"], trace: Trace, context: Context
    ) -> dict[str, Float[Tensor, "batch pos"]]:
        cost = skip_cost(runs, (Kind.ATTN_OUT, Kind.MLP_OUT), trace, context)
        return {**cost, "layers_run": runs.double().mean(dim=0)}

    def summary(self, found: Samples) -> str:
        depth = found.estimate("exit_depth", "shuffled")
        early = "before" if depth.beside_control == "less than" else "no earlier than"
        return f"Choices are final {early} those of other positions would be: {depth}."

    @staticmethod
    def example(generator: torch.Generator) -> PlantedStates:
        """Choices that are made in the third of four layers: none before, all from it on."""
        read, options = at_layer("settled", 2), {"schedule": False}
        return plant_decisions(layer=2, read=read, generator=generator, options=options)


def exit_depth(
    tops: Int[Tensor, "layer batch pos"], goal: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos"]:
    """Return after how many layers the first choice is `goal` and stays so; all if it never is."""
    same = tops == goal[None]
    settled = same.flip(0).long().cumprod(dim=0).sum(dim=0)
    return (len(tops) - settled + 1).clamp(max=len(tops)).double()
