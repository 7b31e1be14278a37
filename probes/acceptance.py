"""How often the model would accept what a cheaper version of itself drafts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from probes.planted_states import PlantedStates, at_layer, plant_decisions
from workbench.errors import BadOption
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import other_positions, random_like
from workbench.methods.next_token import overlaps
from workbench.methods.per_unit import Measured, PerUnit
from workbench.methods.registry import probe
from workbench.model.edits import Edit, Op
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Control, Metric, Plot
from workbench.result.samples import Samples

_POS, _BOTH = ("position",), ("layer", "position")
_share = partial(Metric, unit="proportion", bounds=(0.0, 1.0))


@probe("acceptance", source="Leviathan et al. 2023, arXiv:2211.17192; arXiv:2411.11925")
@dataclass(frozen=True, kw_only=True)
class Acceptance(PerUnit):
    """Measure how often drafts of an early exit, a skip or a second model would be accepted.

    Acceptance is Σ min(p, q) = 1 − total variation between the next-token distributions of the
    model and of the draft. Exits read each layer by the final norm and head; skips leave one
    layer out; a latent step feeds the last state in place of the last token. Tokens per call are
    1 + a₁ + a₁a₂ + … over the `length` positions from each one on, which is (1 − a^{γ+1})/(1 − a)
    where a does not vary. Controls: the states of other positions of the text (shuffled), for a
    latent step a random vector as long.

    Units: acceptance is a proportion; tokens per call of the full model.

    Source: Leviathan et al. 2023, section 3; total variation as a distance of shortened models:
    Wang et al. 2024, Continuous Speculative Decoding, arXiv:2411.11925. We differ: the texts are
    given, not the model's own.
    """

    metrics: ClassVar = {
        "exit": _share(help="Acceptance of the layer's own prediction.", axes=_BOTH),
        "tokens_per_call": Metric(
            unit="tokens", help="Tokens per call with drafts of that layer.", axes=_BOTH
        ),
        "skip": _share(help="Acceptance with only this layer left out.", axes=_BOTH),
        "draft": _share(help="Acceptance of a second model.", axes=_POS),
        "latent": _share(help="Acceptance of a latent step at the last token.", axes=()),
    }
    controls_of: ClassVar = {
        "shuffled": Control("states of other positions"),
        "random": Control("random vector", "a random vector as long is fed in place of the state"),
    }
    plots: ClassVar = (
        Plot(title="Acceptance of drafts, layer by layer", metrics=("exit",)),
        Plot(title="Acceptance with one layer left out", metrics=("skip",)),
        Plot(title="Tokens per call of the model", metrics=("tokens_per_call",)),
        Plot(title="Acceptance at every token", metrics=("exit",), axes=_BOTH),
    )

    length: int = option(4, help="Drafted tokens per call.", low=1, high=64, unit="tokens")
    skips: bool = option(False, help="Also leave each layer out: one pass per layer.")
    latent: bool = option(False, help="Also feed the last state in place of the last token.")
    draft: str = option("", help="A second model with the same vocabulary.")

    def loaded(self, context: Context) -> PerUnit:
        if not self.draft:
            return self
        second, here = load_model(self.draft, progress=context.progress), context.loaded.spec
        if second.spec.d_vocab != here.d_vocab:
            raise BadOption(
                f"draft {self.draft} has {second.spec.d_vocab} tokens, {here.name} {here.d_vocab}; "
                "expected the same vocabulary"
            )
        return AcceptanceOfDraft(**vars(self), second=second)

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return every_layer(Kind.RESID_POST, spec)

    def price(self, spec: ModelSpec) -> int:
        return self.skips * spec.n_layers + self.latent * 3

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        states = trace.stack(Kind.RESID_POST)
        final, seen = states[-1], trace.tokens.mask.to(states.device)
        order = other_positions(trace.tokens, context, "acceptance positions")
        exits = overlaps(final, states, order, context)
        found, null = (_exits(one.transpose(0, 1), seen, self.length) for one in exits)
        if self.skips:
            each = [self._without(layer, trace, context) for layer in range(len(states))]
            skips = overlaps(final, torch.stack(each), order, context)
            found["skip"], null["skip"] = (one.transpose(0, 1) for one in skips)
        controls = {"shuffled": null}
        if self.latent:
            like = random_like(final, trace.tokens, context, "acceptance noise")
            found["latent"] = self._fed(final, final, trace, context)
            controls["random"] = {"latent": self._fed(final, like, trace, context)}
        return Measured(values=found, controls=controls)

    def _without(self, layer: int, trace: Trace, context: Context) -> Tensor:
        both = (Site(kind, layer) for kind in (Kind.ATTN_OUT, Kind.MLP_OUT))
        return self._final(trace, context, [Edit(site=s, op=Op.SCALE, value=0.0) for s in both])

    def _fed(self, final: Tensor, fed: Tensor, trace: Trace, context: Context) -> Tensor:
        """Feed the state before the last token in its place, as long as an embedding is."""
        last = (trace.tokens.mask.long().cumsum(dim=1).argmax(dim=1)).to(final.device)
        rows = torch.arange(len(last), device=final.device)
        site = Site(Kind.EMBED)
        plain = context.rerun(trace.tokens, read=(site,)).activations[site]
        state = fed[rows, (last - 1).clamp(min=0)]
        length = plain.norm(dim=-1).amax(dim=1, keepdim=True).to(state)
        value = plain.clone()
        value[rows, last] = (state / state.norm(dim=-1, keepdim=True) * length).to(value)
        changed = self._final(trace, context, [Edit(site=site, op=Op.SET, value=value)])
        one, other = final[rows, last][:, None], changed[rows, last][None, :, None]
        accepted, _ = overlaps(one, other, torch.zeros_like(last)[:, None], context)
        return accepted[0, :, 0].masked_fill(last < 1, torch.nan)

    def _final(self, trace: Trace, context: Context, edits: Sequence[Edit]) -> Tensor:
        site = Site(Kind.RESID_POST, trace.spec.n_layers - 1)
        again = context.rerun(trace.tokens, read=(site,), edits=edits)
        return again.activations[site]

    def summary(self, found: Samples) -> str:
        accepted = found.mean("exit").value
        # The last layer is the model itself and is accepted always.
        half = int((accepted >= 0.5).argmax())
        exits = found.estimate("exit", "shuffled")
        return (
            f"Drafts are accepted half the time from layer {found.layers[half]} on; over all "
            f"layers {exits.beside_control} those of other positions: {exits}."
        )

    @staticmethod
    def example(generator: torch.Generator) -> PlantedStates:
        """Predictions made in the third of four layers: nothing is accepted before, all from it."""
        return plant_decisions(layer=2, read=at_layer("exit", 2), generator=generator)


@dataclass(frozen=True, kw_only=True, eq=False)
class AcceptanceOfDraft(Acceptance):
    """The same with the second model at hand."""

    second: Model

    def loaded(self, context: Context) -> PerUnit:
        return self

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        found = super().measure(trace, examples, context)
        site, last = Site(Kind.RESID_POST, -1), Site(Kind.RESID_POST, trace.spec.n_layers - 1)
        theirs = self.second.run(trace.tokens, read=[site]).stack(Kind.RESID_POST)[0]
        final = trace.activations[last]
        order = other_positions(trace.tokens, context, "acceptance draft")
        kept, by_chance = overlaps(final, theirs[None], order, context, self.second.unembed)
        shuffled = {**found.controls["shuffled"], "draft": by_chance[0]}
        return replace(
            found,
            values={**found.values, "draft": kept[0]},
            controls={**found.controls, "shuffled": shuffled},
        )


def _exits(
    accepted: Float[Tensor, "batch layer pos"], seen: Tensor, length: int
) -> dict[str, Tensor]:
    return {"exit": accepted, "tokens_per_call": per_call(accepted, seen, length)}


def per_call(
    accepted: Float[Tensor, "batch layer pos"], seen: Tensor, length: int
) -> Float[Tensor, "batch layer pos"]:
    """Return 1 + a₁ + a₁a₂ + … from each position on, NaN where fewer than `length` follow."""
    kept = accepted.double().masked_fill(~seen[:, None], torch.nan)
    total, run = torch.ones_like(kept), torch.ones_like(kept)
    for ahead in range(length):
        shifted = torch.full_like(kept, torch.nan)
        shifted[..., : max(kept.shape[-1] - ahead, 0)] = kept[..., ahead:]
        run = run * shifted
        total = total + run
    return total
