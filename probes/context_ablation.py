"""How many tokens of context the next token needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float

from workbench.methods.contracts import Context, Example
from workbench.methods.controls import draws
from workbench.methods.next_token import following_tokens, next_token
from workbench.methods.per_unit import CutTexts, Measured, PerUnit
from workbench.methods.registry import probe
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import opening_ids, pad
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Axis, Control, Metric, Plot
from workbench.result.samples import VALUE, Samples

_FINAL = Site(Kind.FINAL_NORM)
_WINDOWS = (1, 2, 4, 8, 16, 32)
_ROWS = 64


@probe("context-ablation", source="Gu et al. 2025, FAR, arXiv:2503.19325")
@dataclass(frozen=True, kw_only=True)
class ContextAblation(CutTexts, PerUnit):
    """Predict every token from its last w tokens only and see what the rest was worth.

    `loss` is −ln p of the next token when the model reads nothing but the last w tokens; `lost` is
    that less the loss with the whole text before it. Only tokens with at least as many before them
    as the largest window (of those that fit half the text) count, so that all windows are compared
    on the same tokens. Control: the same window with all but its last token in random order,
    after which only a bag of words is left.

    The token that a model begins every text with stands before every window and is none of it.

    Units: nats per token. Texts of fewer than three tokens are not counted.

    Cost: a short pass per token, window and control; texts are cut to `longest` tokens.

    Source: FAR ablates the context of frames; windows of tokens and the shuffled control are
    ours. The model sees a window as the beginning of a text.
    """

    metrics: ClassVar = {
        "lost": Metric(unit="nats per token", help="Loss that the rest saved.", axes=("window",)),
        "loss": Metric(unit="nats per token", help="Loss with that window.", axes=("window",)),
    }
    axes_of: ClassVar = {
        "window": Axis(help="Tokens the model reads.", unit="tokens", labels=_WINDOWS)
    }
    controls_of: ClassVar = {
        "shuffled": Control("shuffled window", "the window in random order but for its last token")
    }
    plots: ClassVar = (
        Plot(title="What the rest of the text was worth", metrics=("lost",), axes=("window",)),
        Plot(title="Loss by window", metrics=("loss",), axes=("window",)),
    )

    largest: int = option(16, help="Largest window tried.", low=1, high=32, unit="tokens")
    longest: int = option(48, help="Cut each text to so many.", low=3, high=1024, unit="tokens")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return (_FINAL,)

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        shape = (len(examples), len(_WINDOWS))
        found = {k: {m: np.full(shape, np.nan) for m in self.metrics} for k in (VALUE, "shuffled")}
        whole = _losses(trace, context)
        for i, draw in enumerate(draws(trace.tokens, context, "context-ablation")):
            start = opening_ids(context.loaded.tokenizer, trace.tokens.row(i))
            ids = trace.tokens.row(i)[len(start) :]
            windows = [w for w in _WINDOWS if w <= min(self.largest, len(ids) // 2)]
            if len(ids) < 3:
                continue
            ends = range(windows[-1] - 1, len(ids) - 1)
            full = whole[i][trace.tokens.near.mask[i].numpy()][len(start) :][list(ends)]
            for k, w in enumerate(windows):
                cut = [ids[end + 1 - w : end + 2] for end in ends]
                mixed = [
                    [*draw.permutation(row[:-2]).astype(int).tolist(), *row[-2:]] for row in cut
                ]
                for kind, rows in ((VALUE, cut), ("shuffled", mixed)):
                    loss = last_losses([[*start, *row] for row in rows], context)
                    found[kind]["loss"][i, k] = loss.mean()
                    found[kind]["lost"][i, k] = (loss - full).mean()
        return Measured(values=found[VALUE], controls={"shuffled": found["shuffled"]})

    def summary(self, found: Samples) -> str:
        mean = found.mean("lost")
        tried = [(w, x) for w, x, k in zip(_WINDOWS, mean.value, mean.n, strict=True) if k]
        if not tried:
            return "No text is long enough to take context from it."
        told = ", ".join(f"{x:.2f} with {w}" for w, x in tried)
        largest = tried[-1][0]
        lost = found.estimate("lost", "shuffled", {"window": largest})
        back = f"what stands more than {largest} tokens back"
        verdict = f"It is not shown that {back} helps to predict a token"
        if lost.low is not None and lost.low > 0:
            verdict = f"{back.capitalize()} helps to predict a token"
        elif lost.high is not None and lost.high < 0:
            verdict = f"{back.capitalize()} makes a token harder to predict"
        return f"{verdict}: {lost}; nats per token lost by window: {told}."


def last_losses(rows: Sequence[Sequence[int]], context: Context) -> Float[np.ndarray, " n"]:
    """Return −ln p of the last token of each row, all of one length, given those before it."""
    found = []
    for start in range(0, len(rows), _ROWS):
        batch = pad(rows[start : start + _ROWS])
        trace = context.rerun(batch.to(context.loaded.device), read=(_FINAL,))
        found.append(_losses(trace, context)[:, -2])
    return np.concatenate(found)


def _losses(trace: Trace, context: Context) -> Float[np.ndarray, "batch pos"]:
    """Return −ln p of the token after each position."""
    following = following_tokens(trace.tokens.ids, trace.tokens.mask)
    with torch.no_grad():
        after = next_token(trace.activations[_FINAL], following, context, normed=True)
    return np.asarray(after.nll.double().cpu().numpy())
