"""What a hybrid trace measures per text, and how it is shown."""

from collections.abc import Mapping, Sequence
from typing import Any

from probes.hybrid.sentences import COLUMNS as SENTENCES
from probes.hybrid.sentences import sentence_samples, sentence_verdict
from workbench.methods.shown import columns_of
from workbench.methods.study_report import study_report
from workbench.result.metric import Axis, Control, Plot, number, share
from workbench.result.result import Note, Result
from workbench.result.row_samples import samples_of
from workbench.result.samples import Samples
from workbench.result.tables import columns_from
from workbench.result.views import Bars, Curve, Heatmap, TokenStrip

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
METRICS = {
    "flips": share("1 where latent inputs change the likeliest token.", unit="share of tokens"),
    "kl": number(
        "nats per token", "KL of this token's distribution, latent inputs from token inputs."
    ),
    "entropy": number("nats per token", "Of the distribution after temperature."),
    "disagreement": share("1 − p: what else might have been said.", unit="probability"),
    "ratio_of_mean": number("", "√(1−ā²), ā the mean over dimensions."),
    "mean_ratio": number("", "Mean of √(1−a²) over dimensions."),
    "norm_share": share("Length of the latent part among both parts."),
    "distance": number("", "‖hybrid − token-only‖ / ‖token-only‖ of the residual stream.", "layer"),
    "differs": share("1 where it is another one than in the unchanged chain.", "intervention"),
}
CONTROLS = {
    "control": Control(
        "random directions", "the same for inputs as far from the tokens in random directions"
    )
}
AXES = {
    "layer": Axis(help="Layer, counted from 0."),
    "intervention": Axis(help="What was changed while the chain was written again."),
}
COLUMNS = columns_from("""
    text: Number of the text, from 0.
    step (tokens): Tokens of the response before this one.
    token: The token: written, in the mixture, or of the vocabulary.
    latent: Whether a vector was fed in its place.
    p (probability): Of the token, after temperature.
    residual_mass (probability): Of the tokens that are not in the mixture.
    attention (proportion): Onto latent positions, mean of heads and layers.
    norm_token: Length of the token's embedding.
    norm_fed: Length of what was fed.
    cosine_fed: Cosine of what was fed with the token's embedding.
    a_mean: Mean weight of the token over dimensions.
    a_q05: 5 % quantile of that weight.
    a_q50: Its median.
    a_q95: Its 95 % quantile.
    i_mean: Mean of the input gate.
    norm_mixture: Length of the spread mixture.
    cosine_mixture: Cosine of the mixture with the token's embedding.
    badge: flip: latent inputs change the likeliest token here.
    rank: 1: the heaviest of the mixture, or the most open of the vocabulary.
    weight (probability): Its weight in the mixture.
    layer: Layer, counted from 0.
    intervention: What was changed; unchanged: the chain as it was.
    at (tokens): Step from which it acts, where it has one.
    first_change (tokens): First token that differs.
    kept (proportion): Of the longer response that stayed the same at its start.
    response: What was written.
    other: Whether the unchanged chain has another token here.
    kind: Which end of the vocabulary.
    prompt: What was continued.
    tokens (tokens): Of the response.
    thinking (tokens): Fed as vectors.
""")
_GATE = ("mean_ratio", "norm_share")
PLOTS = (
    TokenStrip(
        "What else each token might have been",
        "steps",
        token="token",
        color="disagreement",
        rows=("p", "entropy", "kl", *_GATE),
        group="text",
        flag="latent",
        badge="badge",
        details="mixtures",
        key="step",
    ),
    TokenStrip(
        "The chain written again with one thing changed",
        "rewritten",
        token="token",
        color="differs",
        group="intervention",
        flag="other",
    ),
    Heatmap(
        "Mixtures: the heaviest tokens fed",
        "mixtures",
        row="rank",
        column="step",
        value="weight",
        text="token",
        group="text",
    ),
    Curve(
        "Next token: latent inputs against tokens",
        "steps",
        x="step",
        y=("kl",),
        control=("kl_control",),
        group="text",
    ),
    Plot(title="Residual stream: distance from token-only", metrics=("distance",)),
    Curve(
        "How open the gate is: three ratios",
        "steps",
        x="step",
        y=("ratio_of_mean", *_GATE),
        group="text",
    ),
    Plot(title="Responses changed", metrics=("differs",), axes=("intervention",)),
    Bars("Gate over the vocabulary", "atlas", x="token", y="mean_ratio"),
    Heatmap(
        "Distance at each token, first text", "grid", row="layer", column="step", value="distance"
    ),
)


def report(rows: Rows, n_given: int, notes: Sequence[Note]) -> Result:
    """Report the texts; means are over steps within a text, then over texts."""
    found = samples_of(
        [*rows["steps"], *rows["grid"], *rows["interventions"]],
        METRICS,
        controls_of=CONTROLS,
        axes_of=AXES,
        n_given=n_given,
    )
    first = [row for row in rows["grid"] if not row["text"]]
    read = sentence_samples(rows["sentences"])
    about = {} if read is None else columns_of(read.metrics, read.controls_of)
    return study_report(
        (found,) if read is None else (found, read),
        summary=_summary(found, rows) + sentence_verdict(read),
        averages={"layers": ("layer",), "effects": ("intervention",)},
        rows={**rows, "grid": first},
        columns={**about, **columns_of(METRICS, CONTROLS), **COLUMNS, **SENTENCES},
        plots=PLOTS,
        notes=notes,
    )


def _summary(found: Samples, rows: Rows) -> str:
    flips, kl = found.estimate("flips", "control"), found.estimate("kl", "control")
    changes = rows["interventions"]
    told = f"{_change_words(changes[0], rows)} " if len(changes) == 1 else ""
    if len(changes) > 1:
        others = sum(bool(row["differs"]) for row in changes)
        told = f"{others} of {len(changes)} responses written again with one thing changed differ. "
    return (
        f"{told}Latent inputs change the likeliest next token in {flips.value or 0:.1%} of steps "
        f"and its distribution by {kl.value or 0:.3g} nats; random directions as far from the "
        f"tokens in {flips.control or 0:.1%} and by {kl.control or 0:.3g} nats."
    )


def _change_words(change: Mapping[str, Any], rows: Rows) -> str:
    """Say what one change made of the end of the response, and how sure the changed token was."""
    name = change["intervention"]
    if not change["differs"]:
        return f"Written again with {name}, the response stays as it is."
    chain = next(row for row in rows["chains"] if row["text"] == change["text"])
    before, after = (str(row["response"]).split()[-1:] or [""] for row in (chain, change))
    ends = f"ends in “{after[0]}” instead of “{before[0]}”"
    ends = f"differs but ends in “{after[0]}” as before" if before == after else ends
    at = change["first_change"]
    p = next(
        (r["p"] for r in rows["steps"] if r["text"] == change["text"] and r["step"] == at), None
    )
    sure = "" if p is None else f", which had probability {p:.2g}"
    return f"Written again with {name}, the response {ends}; they part at token {at}{sure}."
