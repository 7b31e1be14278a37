"""What a causal mask is worth: the prompt read in both directions, without training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from workbench.methods.contracts import Context, Example
from workbench.methods.controls import draws
from workbench.methods.next_token import compare, following_tokens, losses
from workbench.methods.per_unit import Measured, PerUnit
from workbench.methods.registry import probe
from workbench.model.masks import prefix_visible
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Control, Metric, Plot
from workbench.result.samples import Samples

_FINAL = Site(Kind.FINAL_NORM)
_cosine = partial(torch.nn.functional.cosine_similarity, dim=-1)


@probe("mask-value", source="Wang et al. 2022, arXiv:2204.05832")
@dataclass(frozen=True, kw_only=True)
class MaskValue(PerUnit):
    """Let the tokens of a prompt see one another in both directions, and measure what that does.

    The first `share` of each text is the prompt; what follows sees what is before it, as ever.
    Divergence is 1 − cosine of the states under both masks; gain and KL are of the tokens behind
    the prompt. A causally trained model is damaged by what it was never shown, and the numbers say
    how much. Control: the prompt's tokens in random order, under the causal mask.

    Units: nats per token; divergence is 1 less a cosine, 0 to 2.

    Source: the non-causal decoder. We differ: nothing is trained, and the gain is that of the
    text's own continuation in place of a label's log-odds.
    """

    metrics: ClassVar = {
        "gain": Metric(unit="nats", help="Change of log p of what follows.", axes=("position",)),
        "kl": Metric(unit="nats", help="KL(causal‖both directions).", axes=("position",)),
        "divergence": Metric(
            unit="1 − cosine", help="How far states move.", axes=("layer", "position")
        ),
    }
    controls_of: ClassVar = {"shuffled": Control("shuffled prompt", "its tokens in random order")}
    plots: ClassVar = (
        Plot(title="How far states move", metrics=("divergence",)),
        Plot(title="At every token", metrics=("divergence",), axes=("layer", "position")),
        Plot(title="Gain of what follows", metrics=("gain",), axes=("position",)),
    )

    share: float = option(0.5, help="Share of a text that is its prompt.", low=0.0, high=1.0)

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return (*every_layer(Kind.RESID_POST, spec), _FINAL)

    def price(self, spec: ModelSpec) -> int:
        return 2

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        tokens, read = trace.tokens, self.sites(trace.spec)
        lengths = [int(self.share * n) for n in tokens.lengths]
        layout = prefix_visible(tokens, lengths)
        both = context.rerun(tokens, read=read, layout=layout)
        mixed = context.rerun(_shuffled(tokens, lengths, context), read=read)
        ends = torch.tensor(lengths, device=tokens.ids.device)[:, None]
        # The last token of the prompt predicts the first one behind it.
        behind = tokens.position_ids >= ends - 1
        return Measured(
            values=_numbers(trace, both, behind, context),
            controls={"shuffled": _numbers(trace, mixed, behind, context)},
        )

    def summary(self, found: Samples) -> str:
        gain = found.estimate("gain", "shuffled")
        worse = gain.high is not None and gain.high < 0
        verdict = "worse" if worse else "not measurably worse"
        return f"Read in both directions a prompt predicts what follows {verdict}: {gain}."


def _numbers(
    causal: Trace, other: Trace, behind: Bool[Tensor, "batch pos"], context: Context
) -> dict[str, Tensor]:
    following = following_tokens(causal.tokens.ids, causal.tokens.mask)
    nll = [
        losses(trace.activations[_FINAL], following, context, normed=True)
        for trace in (causal, other)
    ]
    kl, _ = compare(causal.activations[_FINAL], other.activations[_FINAL], context)
    a, b = (trace.stack(Kind.RESID_POST).double() for trace in (causal, other))
    hidden = ~behind.to(kl.device)
    return {
        "gain": (nll[0] - nll[1]).masked_fill(hidden.to(nll[0].device), torch.nan),
        "kl": kl.masked_fill(hidden, torch.nan),
        "divergence": torch.where((a == b).all(dim=-1), 0.0, 1 - _cosine(a, b)).transpose(0, 1),
    }


def _shuffled(tokens: Tokens, lengths: Sequence[int], context: Context) -> Tokens:
    order = torch.arange(tokens.ids.shape[1]).repeat(len(tokens.ids), 1)
    for i, draw in enumerate(draws(tokens, context, "mask-value order")):
        columns = tokens.mask[i].cpu().nonzero()[: lengths[i], 0]
        order[i, columns] = columns[torch.from_numpy(draw.permutation(len(columns)))]
    ids = tokens.ids.gather(1, order.to(tokens.ids.device))
    return replace(tokens, ids=ids, texts=(), offsets=())
