"""What each state says of the tokens to come, at every layer and token of a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from probes.planted_states import PlantedStates, at_layer, plant_later_token
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import other_positions
from workbench.methods.next_token import probabilities
from workbench.methods.per_unit import Measured, PerUnit
from workbench.methods.registry import probe
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Control, Metric, Plot
from workbench.result.peak import largest
from workbench.result.samples import Samples

_BOTH = ("layer", "position")
_NONE = -2
_share = partial(Metric, unit="proportion", axes=_BOTH, bounds=(0.0, 1.0))


@probe("tokens-ahead", source="Walker 2024, Future Token Prediction, arXiv:2410.18160")
@dataclass(frozen=True, kw_only=True)
class TokensAhead(PerUnit):
    """Read the tokens to come off each state through the model's own head, without training.

    `next` is the probability that the state gives to the token that follows, `later` that of the
    tokens after it, up to `ahead` from here; the token itself, which early states still name, the
    next one and repetitions are left out. What a fitted
    readout finds beyond that is the probe `future-tokens`. Control: the tokens that stand as far
    behind another position of the text.

    Units: proportions. Undefined where no token follows, or none after the next.

    Cost: no pass of its own; one product with the output head per layer and token.

    Source: the tokens at +1 to +K of Walker 2024. We differ: the output head reads them, so that
    one text is enough.
    """

    metrics: ClassVar = {
        "later": _share(help="Of the tokens after the next one."),
        "next": _share(help="Of the token that follows."),
    }
    controls_of: ClassVar = {
        "elsewhere": Control("tokens elsewhere", "the tokens behind another position of the text")
    }
    plots: ClassVar = (
        Plot(title="Probability of later tokens", metrics=("later",)),
        Plot(title="Probability of the next token", metrics=("next",)),
        Plot(title="Later tokens at every token", metrics=("later",), axes=_BOTH),
    )

    ahead: int = option(8, help="Tokens ahead, K.", low=2, high=256, unit="tokens")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return every_layer(Kind.RESID_POST, spec)

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        order = other_positions(trace.tokens, context, "tokens-ahead")
        goals = torch.stack([_goals(trace.tokens, self.ahead, at) for at in (None, order)], dim=2)
        layers = [probabilities(h, goals, context) for h in trace.stack(Kind.RESID_POST)]
        p, none = (
            torch.stack(layers, dim=1).double(),
            (goals == _NONE)[:, None].to(layers[0].device),
        )
        own, null = (
            {
                "next": p[..., k, 0].masked_fill(none[..., k, 0], torch.nan),
                "later": p[..., k, 1:].sum(dim=-1).masked_fill(none[..., k, 1], torch.nan),
            }
            for k in (0, 1)
        )
        return Measured(values=own, controls={"elsewhere": null})

    def summary(self, found: Samples) -> str:
        if found.estimate("later").value is None:
            return "No text has a token after the next one."
        told = found.estimate("later", "elsewhere").told(
            "States {} of later tokens than of those elsewhere in the text",
            *("tell more", "tell less", "are not shown to tell more"),
        )
        return f"{told}; most in {largest(found, 'later')}."

    @staticmethod
    def example(generator: torch.Generator) -> PlantedStates:
        """States that spell the token after the next one: all of their probability is later."""
        return plant_later_token(read=at_layer("later", 0), generator=generator)


def _goals(
    tokens: Tokens, ahead: int, order: Int[Tensor, "batch pos"] | None
) -> Int[Tensor, "batch pos token"]:
    """Return the next token and the later ones of each position, then −1; −2 where none stands.

    With an `order` they are those behind another position. A token and its next are never later.
    """
    found = torch.full((*tokens.ids.shape, ahead), _NONE)
    for i, length in enumerate(tokens.lengths):
        ids = tokens.row(i)
        columns = tokens.near.mask[i].nonzero()[:, 0].tolist()
        place = {column: k for k, column in enumerate(columns)}
        for t, column in enumerate(columns):
            s = t if order is None else place[int(order[i, column])]
            own = ids[t : t + 2]
            later = dict.fromkeys(x for x in ids[s + 2 : s + 1 + ahead] if x not in own)
            if s + 1 < length:
                found[i, column, 0] = ids[s + 1]
            if s + 2 < length:
                found[i, column, 1:] = -1
                found[i, column, 1 : 1 + len(later)] = torch.tensor(list(later), dtype=torch.long)
    return found
