"""How well a sparse dictionary stands for the states of a site, token by token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probes.dictionaries.dictionary import Dictionary, fitted
from probes.dictionaries.files import find_dictionary, site_of
from workbench.errors import BadOption, InputError
from workbench.methods.contracts import Context, Example
from workbench.methods.next_token import following_tokens, next_token
from workbench.methods.per_unit import Measured, PerUnit
from workbench.methods.registry import probe
from workbench.model.edits import Edit, Op
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Control, Metric, Plot
from workbench.result.samples import Samples

_FINAL = Site(Kind.FINAL_NORM)
_POS = ("position",)


def _ratio(x: Float[np.ndarray, "*axes part"]) -> Float[np.ndarray, "*axes"]:
    return np.asarray(x[..., 0] / x[..., 1])


@probe("dictionary", source="Gao et al. 2024, arXiv:2406.04093; Bricken et al. 2023")
@dataclass(frozen=True, kw_only=True)
class DictionaryFit(PerUnit):
    """Take states apart into a few features of a sparse dictionary and put them together again.

    Unexplained is ‖x − x̂‖²/‖x − centre‖² at a token. The model is run again with x̂ in the place of
    x, and with zero: loss recovered is (loss of zero − loss of x̂)/(loss of zero − own loss), loss
    added is the difference of the first two in nats. The first token of a text keeps its state.
    Control: as many random directions, as many of them kept as the dictionary has active, each
    sum rescaled to come as close as it can.

    Units: loss in nats per token, activations in units of the state, shares are proportions.

    Source: Gao et al. 2024, section 4; Bricken et al. 2023 for the loss recovered.
    """

    metrics: ClassVar = {
        "recovered": Metric(
            unit="proportion", help="Loss recovered: 1 as without, 0 as with zero states.",
            axes=(), of=_ratio, headline_name="loss_recovered",
        ),
        "loss_added": Metric(
            unit="nats per token", help="Loss with the dictionary's states, less that without.",
            axes=_POS,
        ),
        "unexplained": Metric(
            unit="proportion", help="Squared error over squared distance from the centre.",
            axes=_POS, skip_first=True,
        ),
        "active": Metric(unit="features", help="Features that are there.", axes=_POS),
        "strength": Metric(
            unit="activation units", help="The strongest feature.", axes=_POS, is_averaged=False
        ),
        "strongest": Metric(
            unit="number", help="Number of the strongest feature.", axes=_POS, is_averaged=False
        ),
        "chosen": Metric(
            unit="activation units", help="The feature that was asked for.", axes=_POS,
            headline=None,
        ),
    }  # fmt: skip
    controls_of: ClassVar = {"random": Control("random directions", "as many random directions")}
    plots: ClassVar = (
        Plot(title="How strong the strongest feature is", metrics=("strength",), axes=_POS),
        Plot(title="The feature that was asked for", metrics=("chosen",), axes=_POS),
        Plot(title="Left unexplained at every token", metrics=("unexplained",), axes=_POS),
    )

    dictionary: str = option("", help="Folder, or OWNER/NAME:FOLDER on the hub; default: shipped.")
    feature: int | None = option(None, help="A feature to show at every token.", low=0, high=10**8)

    def loaded(self, context: Context) -> PerUnit:
        if context.spec is None:
            raise InputError("a dictionary needs a model", hint="give texts, not activations")
        found = find_dictionary(self.dictionary, context.spec, progress=context.progress)
        return LoadedDictionary(**vars(self), found=found)

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return (*site_of(self.dictionary, spec).sites(spec), _FINAL)

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        raise InputError("a dictionary is loaded first")

    def summary(self, found: Samples) -> str:
        kept = found.estimate("recovered", "random")
        return (
            f"The dictionary keeps {kept.beside_control} random directions would: {kept}; "
            f"{found.estimate('active')} a token."
        )


@dataclass(frozen=True, kw_only=True)
class LoadedDictionary(DictionaryFit):
    """A dictionary that was read."""

    found: Dictionary

    def __post_init__(self) -> None:
        """Refuse a feature that there is not."""
        if self.feature is not None and self.feature >= self.found.n_features:
            raise BadOption(
                f"feature {self.feature} of a dictionary of {self.found.n_features}",
                hint="features are counted from 0",
            )

    def loaded(self, context: Context) -> PerUnit:
        return self

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return (*self.found.site.sites(spec), _FINAL)

    def price(self, spec: ModelSpec) -> int:
        return 3

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        site = self.sites(trace.spec)[0]
        x = trace.activations[site].float().cpu()
        f = self.found.features(x)
        # As many as the dictionary keeps, or a share that does not depend on the batch.
        k = self.found.k or max(1, self.found.n_features // 128)
        other = self.found.random(k, context.torch_stream("random dictionary"))
        null = fitted(x, other.states(other.features(x), x), other.centre)
        after = following_tokens(trace.tokens.ids, trace.tokens.mask)
        own = next_token(trace.activations[_FINAL], after, context, normed=True).nll.cpu()
        zero = self._loss(site, torch.zeros_like(x), trace, context)
        values, random = (
            self._costs(x, guess, self._loss(site, guess, trace, context), own, zero)
            for guess in (self.found.states(f, x), null)
        )
        best = f.max(dim=-1)
        values |= {
            "active": (f > 0).double().sum(dim=-1),
            "strength": best.values,
            "strongest": torch.where(best.values > 0, best.indices.double(), torch.nan),
        }
        if self.feature is not None:
            values["chosen"] = f[..., self.feature]
        return Measured(values=values, controls={"random": random})

    def _loss(
        self, site: Site, guess: Float[Tensor, "batch pos d_model"], trace: Trace, context: Context
    ) -> Float[Tensor, "batch pos"]:
        """Return the loss with those states in the place of all but the first of each text."""
        mask, x = trace.tokens.mask, trace.activations[site]
        first = mask & (mask.long().cumsum(dim=1) == 1)
        kept = torch.where(first[..., None].to(x.device), x, guess.to(x))
        edit = Edit(site=site, op=Op.SET, value=kept)
        again = context.rerun(trace.tokens, read=(_FINAL,), edits=[edit])
        after = following_tokens(trace.tokens.ids, mask)
        return next_token(again.activations[_FINAL], after, context, normed=True).nll.cpu()

    def _costs(
        self,
        x: Float[Tensor, "batch pos d_model"],
        guess: Float[Tensor, "batch pos d_model"],
        loss: Float[Tensor, "batch pos"],
        own: Float[Tensor, "batch pos"],
        zero: Float[Tensor, "batch pos"],
    ) -> dict[str, Float[Tensor, "batch ..."]]:
        parts = torch.stack([zero - loss, zero - own], dim=-1).double()
        there = ~own.isnan()  # the last token of a text and the padding are followed by nothing
        summed = parts.masked_fill(~there[..., None], 0.0).sum(dim=1)
        summed[~there.any(dim=1)] = torch.nan
        distance = (x - self.found.centre).square().sum(dim=-1)
        return {
            "recovered": summed,
            "loss_added": loss - own,
            "unexplained": (x - guess).square().sum(dim=-1) / distance.clamp(min=1e-12),
        }
