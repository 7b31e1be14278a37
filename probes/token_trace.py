"""Norm, entropy and surprisal of every token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from probes.lens.per_token import PerToken, ends_sentence, measure, shuffled
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.model.model import Model
from workbench.model.sites import Kind, every_layer
from workbench.options import option
from workbench.result.estimate import Estimate
from workbench.result.intervals import mean_estimate, mean_interval
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Curve, Heatmap, TokenStrip, View

_TEXT = {
    "text": Column(help="Number of the text, from 0."),
    "position": Column(unit="tokens", help="Tokens that stand before this one."),
    "token": Column(help="The token's text."),
}
_LAYER = Column(help="Layer, counted from 0.")
_NORM = Column(unit="activation units", help="Euclidean length of the activation.")
_LEAST_TEXTS = 10


@probe("token-trace", source="Definitions; the null puts the same tokens in random order")
@dataclass(frozen=True, kw_only=True)
class TokenTrace:
    """Follow a text token by token: norm at every layer, entropy and surprisal.

    Entropy H = −Σ p ln p of the distribution over the next token; surprisal −ln p of the token
    that stands there, given those before it; norm ‖x‖₂ of one kind of site at each layer. The
    null is the same text with its tokens in random order, the first one left in place.

    Units: entropy and surprisal in nats (per token), norms in activation units.

    Means are over tokens within a text, then over texts; intervals resample texts. The first
    token is left out of mean norms, because many models store a huge vector there.

    Source: textbook definitions; nothing is smoothed or scaled.
    """

    site: Literal["resid_post", "resid_mid", "resid_pre", "attn_out", "mlp_out"] = option(
        "resid_post", help="Kind of activation whose norm is taken at every layer."
    )
    longest: int = option(
        256, help="Cut each text to so many tokens.", low=2, high=4096, unit="tokens"
    )
    shown: int = option(8, help="Texts whose every token is kept in the tables.", low=1, high=64)

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        sites = every_layer(Kind(self.site), model.spec)
        generator = context.stream("token-trace order")
        real, null = [], []
        n_cut = 0
        for i, example in enumerate(examples):
            context.progress(i, len(examples), "texts")
            tokens = model.tokenize(example.text, limit=min(self.longest, model.spec.max_positions))
            n_cut += _is_cut(model, example.text, self.longest)
            real.append(measure(model, tokens, sites))
            null.append(measure(model, shuffled(tokens, generator), sites))
        context.progress(len(examples), len(examples), "texts")
        notes = _notes(len(real), n_cut, self.longest)
        return _report(real, null, self, (context, notes))


def _is_cut(model: Model, text: str, limit: int) -> bool:
    whole = min(limit, model.spec.max_positions - 1) + 1
    return model.tokenize(text, limit=whole).ids.shape[1] > limit


def _notes(n_texts: int, n_cut: int, limit: int) -> tuple[Note, ...]:
    notes = []
    if n_texts < _LEAST_TEXTS:
        words = "one text: nothing to resample, so there are no intervals"
        if n_texts > 1:
            words = f"{n_texts} texts only: the intervals are rough"
        notes.append(Note(words, "info", "few-texts"))
    if n_cut:
        notes.append(Note(f"{n_cut} texts were cut to {limit} tokens", "warning", "cut"))
    return tuple(notes)


def _report(
    real: Sequence[PerToken],
    null: Sequence[PerToken],
    recipe: TokenTrace,
    rest: tuple[Context, tuple[Note, ...]],
) -> Result:
    context, notes = rest
    shown = list(zip(real, null, strict=True))[: recipe.shown]
    estimates = (
        _mean("surprisal", [r.surprisal for r in real], [n.surprisal for n in null], context),
        _mean("entropy", [r.entropy for r in real], [n.entropy for n in null], context),
    )
    several = len(shown) > 1
    return Result(
        summary=_summary(estimates[0]),
        estimates=estimates,
        tables={
            "tokens": Table.from_rows(_token_rows(shown), _TOKEN_COLUMNS),
            "layers": _layer_table(real, null, context),
            "norms": Table.from_rows(
                _norm_rows(real[0]), {**_TEXT, "layer": _LAYER, "norm": _NORM}
            ),
        },
        notes=notes,
        views=_views(recipe.site, several=several),
    )


def _views(site: str, *, several: bool) -> tuple[View, ...]:
    group = "text" if several else ""
    return (
        TokenStrip(
            title="Surprise at each token",
            table="tokens",
            token="token",
            color="surprisal",
            group=group,
            flag="ends_sentence",
        ),
        Curve(
            title="Surprise and uncertainty along the text",
            table="tokens",
            x="position",
            y=("surprisal", "entropy"),
            control=("surprisal_shuffled",),
            group=group,
        ),
        Curve(
            title=f"Length of {site} by layer, first token left out",
            table="layers",
            x="layer",
            y=("mean_norm",),
            control=("mean_norm_shuffled",),
        ),
        Heatmap(
            title=f"Length of {site} at every token of the first text",
            table="norms",
            row="layer",
            column="position",
            value="norm",
        ),
    )


def _mean(
    name: str,
    real: Sequence[NDArray[np.float64]],
    null: Sequence[NDArray[np.float64]],
    context: Context,
) -> Estimate:
    per_text = [float(np.nanmean(x)) for x in real if np.isfinite(x).any()]
    if not per_text:
        return Estimate(
            name=name, value=None, unit="nats per token", n=0, note="no text has two tokens"
        )
    found = mean_estimate(
        name,
        per_text,
        unit="nats per token",
        generator=context.stream(name),
        resamples=context.resamples,
    )
    control = np.mean([float(np.nanmean(x)) for x in null if np.isfinite(x).any()])
    values = {**vars(found), "control": float(control), "control_name": "shuffled order"}
    return Estimate(**values)


def _summary(surprisal: Estimate) -> str:
    if surprisal.value is None:
        return "No text has two tokens, so nothing could surprise the model."
    band = ""
    if surprisal.low is not None and surprisal.high is not None:
        band = f" [{surprisal.low:.3g}, {surprisal.high:.3g}]"
    control = surprisal.control or 0.0
    verdict = "less" if surprisal.value < control else "no less"
    return (
        f"A token surprises the model by {surprisal.value:.3g}{band} nats on average, "
        f"{verdict} than in shuffled order ({control:.3g} nats)."
    )


_TOKEN_COLUMNS = {
    **_TEXT,
    "token_id": Column(help="The token's number in the vocabulary."),
    "surprisal": Column(unit="nats", help="−ln p of this token given those before it."),
    "entropy": Column(unit="nats", help="Uncertainty about the token that comes next."),
    "best_next": Column(help="The most likely next token."),
    "best_next_probability": Column(unit="probability", help="How likely that is."),
    "norm": Column(unit="activation units", help="Length of the activation in the last layer."),
    "ends_sentence": Column(help="A stop mark before blank space, or a line end."),
    "surprisal_shuffled": Column(
        unit="nats", help="Surprisal at this position with the tokens in random order."
    ),
}


def _token_rows(shown: Sequence[tuple[PerToken, PerToken]]) -> list[dict[str, Any]]:
    return [
        {
            "text": text,
            "position": i,
            "token": word,
            "token_id": one.ids[i],
            "surprisal": one.surprisal[i],
            "entropy": one.entropy[i],
            "best_next": one.best[i],
            "best_next_probability": one.best_probability[i],
            "norm": one.norms[-1, i],
            "ends_sentence": ends,
            "surprisal_shuffled": null.surprisal[i],
        }
        for text, (one, null) in enumerate(shown)
        for i, (word, ends) in enumerate(zip(one.words, ends_sentence(one.words), strict=True))
    ]


def _norm_rows(one: PerToken) -> list[dict[str, Any]]:
    return [
        {"layer": layer, "position": i, "token": word, "norm": one.norms[layer, i]}
        for layer in range(len(one.norms))
        for i, word in enumerate(one.words)
    ]


def _layer_table(real: Sequence[PerToken], null: Sequence[PerToken], context: Context) -> Table:
    means, ghosts = (np.stack([_text_means(x) for x in part]) for part in (real, null))
    rows = []
    for layer in range(means.shape[1]):
        band = mean_interval(means[:, layer])
        rows.append(
            {
                "layer": layer,
                "mean_norm": means[:, layer].mean(),
                "mean_norm_low": band.low,
                "mean_norm_high": band.high,
                "mean_norm_shuffled": ghosts[:, layer].mean(),
                "n_texts": len(means),
            }
        )
    return Table.from_rows(rows, _LAYER_COLUMNS)


_LAYER_COLUMNS = {
    "layer": _LAYER,
    "mean_norm": Column(
        unit="activation units",
        help="Mean length over the tokens of a text, then over texts.",
        low="mean_norm_low",
        high="mean_norm_high",
    ),
    "mean_norm_low": Column(unit="activation units", help="Lower end, 95 %, over texts."),
    "mean_norm_high": Column(unit="activation units", help="Upper end, 95 %, over texts."),
    "mean_norm_shuffled": Column(
        unit="activation units", help="The same with the tokens in random order."
    ),
    "n_texts": Column(unit="texts", help="Texts averaged over."),
}


def _text_means(one: PerToken) -> Float[np.ndarray, " layer"]:
    kept = one.norms[:, 1:] if one.norms.shape[1] > 1 else one.norms
    means: Float[np.ndarray, " layer"] = kept.mean(axis=1)
    return means
