"""Norm, entropy and surprisal of every token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from probes.planted_states import plant_surprise
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import shuffled_tokens
from workbench.methods.next_token import NextToken, following_tokens, next_token
from workbench.methods.per_unit import CutTexts, Measured, PerUnit
from workbench.methods.registry import probe
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Control, Metric, Plot
from workbench.result.samples import Samples
from workbench.result.tables import Column

_FINAL = Site(Kind.FINAL_NORM)


@probe("token-trace", source="Definitions; the null puts the same tokens in random order")
@dataclass(frozen=True, kw_only=True)
class TokenTrace(CutTexts, PerUnit):
    """Follow a text token by token: norm at every layer, entropy and surprisal.

    Entropy H = −Σ p ln p of the distribution over the next token; surprisal −ln p of the token
    that stands there, given those before it; norm ‖x‖₂ of one kind of site at each layer. The
    null is the same text with its tokens in random order, the first one left in place.

    Units: entropy and surprisal in nats (per token), norms in activation units.

    Means are over tokens within a text, then over texts; intervals resample texts. The first
    token is left out of mean norms, because many models store a huge vector there.

    Source: textbook definitions; nothing is smoothed or scaled.
    """

    metrics: ClassVar = {
        "surprisal": Metric(
            unit="nats per token",
            help="−ln p of this token given those before it.",
            axes=("position",),
        ),
        "entropy": Metric(
            unit="nats per token",
            help="Uncertainty about the token that comes next.",
            axes=("position",),
        ),
        "norm": Metric(
            unit="activation units",
            help="Euclidean length of the activation.",
            axes=("layer", "position"),
            skip_first=True,
            strip=-1,
        ),
        "best_next_probability": Metric(
            unit="probability",
            help="How likely the most likely next token is.",
            axes=("position",),
            is_averaged=False,
        ),
    }
    controls_of: ClassVar = {
        "shuffled": Control("shuffled order", "the same text with its tokens in random order")
    }
    words_of: ClassVar = {"best_next": Column(help="The most likely next token.")}
    plots: ClassVar = (
        Plot(title="Surprise at each token", metrics=("surprisal",), axes=("position",)),
        Plot(
            title="Surprise and uncertainty along the text",
            metrics=("surprisal", "entropy"),
            axes=("position",),
        ),
        Plot(title="Length by layer, first token left out", metrics=("norm",)),
        Plot(title="Length at every token", metrics=("norm",), axes=("layer", "position")),
    )
    every_token: ClassVar = {"longest": 4096}
    example = staticmethod(plant_surprise)

    site: Literal["resid_post", "resid_mid", "resid_pre", "attn_out", "mlp_out"] = option(
        "resid_post", help="Kind of activation whose norm is taken at every layer."
    )
    longest: int = option(
        256, help="Cut each text to so many tokens.", low=2, high=4096, unit="tokens"
    )
    shown: int = option(8, help="Texts whose every token is kept in the tables.", low=1, high=64)

    @property
    def shown_tokens(self) -> int:
        return self.longest

    @property
    def shown_texts(self) -> int:
        return self.shown

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return (*every_layer(Kind(self.site), spec), _FINAL)

    def price(self, spec: ModelSpec) -> int:
        return 1

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        order = shuffled_tokens(trace.tokens, context, "token-trace order")
        null, _ = self._numbers(context.rerun(order, read=self.sites(trace.spec)), context)
        values, after = self._numbers(trace, context)
        return Measured(
            values={**values, "best_next_probability": after.best_probability},
            controls={"shuffled": null},
            words={"best_next": after.best},
        )

    def _numbers(self, trace: Trace, context: Context) -> tuple[dict[str, Tensor], NextToken]:
        following = following_tokens(trace.tokens.ids, trace.tokens.mask)
        after = next_token(trace.activations[_FINAL], following, context, normed=True)
        surprisal = torch.full_like(after.nll, torch.nan)
        surprisal[:, 1:] = after.nll[:, :-1]
        norms: Float[Tensor, "layer batch pos"] = trace.stack(self.site).float().norm(dim=-1)
        return {
            "surprisal": surprisal,
            "entropy": after.entropy,
            "norm": norms.transpose(0, 1),
        }, after

    def summary(self, found: Samples) -> str:
        surprisal = found.estimate("surprisal", "shuffled")
        if surprisal.value is None:
            return "No text has two tokens, so nothing could surprise the model."
        verdict = surprisal.told(
            "A token {} than in shuffled order",
            "surprises the model more",
            "surprises the model less",
            "is not shown to surprise the model less",
        )
        return f"{verdict}."
