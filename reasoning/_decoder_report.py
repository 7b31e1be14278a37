"""What a decoder comparison measures, per text and per batch, and how it is shown."""

from collections.abc import Mapping

import numpy as np

from reasoning._decoder_runs import Written
from reasoning.repetition import NGRAMS, diversity, ngram_counts
from workbench.methods.contracts import Context
from workbench.result.metric import Axis, Control, Plot, number, share
from workbench.result.samples import Samples
from workbench.result.sums import ratio
from workbench.result.tables import columns_from
from workbench.result.views import Heatmap, TokenStrip

BASELINE, SHUFFLED = "greedy", "shuffled"
_N = len(NGRAMS)
METRICS = {
    "diversity": share(
        "product of 1 - rep_n for n = 2, 3, 4; 1 is no repetition",
        "decoder",
        of=lambda sums: diversity(sums[..., :_N], sums[..., _N:]),
    ),
    **{
        f"rep_{n}": share(
            f"{n}-grams of a text that had occurred in it before, all texts together",
            "decoder",
            of=lambda sums: 1 - ratio(sums),
        )
        for n in NGRAMS
    },
    "logprob": number(
        "nats per token", "mean log-probability that the model itself gives to the text", "decoder"
    ),
    "n_tokens": number("tokens", "mean length of a text", "decoder"),
    "kl": number(
        "nats", "mean KL of the model's next token to that with parts left out", "decoder"
    ),
    "tokens_per_call": number(
        "tokens", "tokens of a text by the forward passes it took", "decoder", of=ratio
    ),
}
TIMES = {
    "seconds_per_token": number(
        "seconds", "wall time of a batch by its tokens", "decoder", of=ratio
    )
}
CONTROLS = {SHUFFLED: Control("the same tokens in random order")}
COLUMNS = columns_from("""
    prompt: Number of the prompt, from 0
    continuation: What the decoder wrote
    ended: Why the text ended
    back (tokens): Distance to the latest earlier occurrence of what repeats
    repeated (tokens): Tokens up to here that occurred before, at most 5
    rank: Place by probability, from 1
    p (probability): Under the model
    penalty: Cosine with the nearest earlier state, resistance, or the draft's p
    score: What is maximised: p less penalty, weighted; or acceptance
    kl (nats): KL of what was taken from to the model's own
    chosen: Whether this one was taken
""")
PLOTS = (
    Plot(title="Diversity of what each decoder writes", metrics=("diversity",), axes=("decoder",)),
    Plot(title="Seconds per token", metrics=("seconds_per_token",), axes=("decoder",)),
    TokenStrip(
        "One prompt: tokens that repeat what came before",
        "tokens",
        token="token",
        color="repeated",
        rows=("back",),
        group="decoder",
    ),
)


def candidate_plot(table: str) -> Heatmap:
    """Return the candidates of one decoder, step by step."""
    title = f"Candidates and their scores: {table.removeprefix('candidates_')}"
    return Heatmap(
        title, table, row="rank", column="step", value="score", text="token", diverging=True
    )


def measured(written: Mapping[str, Written], context: Context) -> tuple[Samples, Samples]:
    """Count the n-grams of every text, and of one random order of its tokens; time the batches."""
    every = np.array([[text.counts for text in some.texts] for some in written.values()], float)
    mixed = np.array([_shuffled(some, context) for some in written.values()], float)
    grams, nulls = (
        np.concatenate([x, every[:, :, 1]], axis=-1).swapaxes(0, 1) for x in (every[:, :, 0], mixed)
    )
    texts = {
        "diversity": grams,
        **{f"rep_{n}": grams[..., [i, _N + i]] for i, n in enumerate(NGRAMS)},
        "logprob": np.array([[text.logprob for text in w.texts] for w in written.values()]).T,
        "kl": np.array([[text.kl for text in w.texts] for w in written.values()]).T,
        "tokens_per_call": np.array(
            [[[len(t.ids), t.calls] for t in w.texts] for w in written.values()], float
        ).swapaxes(0, 1),
        "n_tokens": np.array([[len(t.ids) for t in w.texts] for w in written.values()], float).T,
    }
    times = np.array([[w.seconds, w.tokens] for w in written.values()], float).transpose(2, 0, 1)
    axes_of = {"decoder": Axis(help="How the next token is chosen", labels=tuple(written))}
    return (
        Samples.of(
            {"": texts, SHUFFLED: {"diversity": nulls}},
            METRICS,
            controls_of=CONTROLS,
            axes_of=axes_of,
        ),
        Samples.of({"": {"seconds_per_token": times}}, TIMES, unit="batches", axes_of=axes_of),
    )


def _shuffled(written: Written, context: Context) -> list[list[int]]:
    draw = context.stream("shuffled")
    return [ngram_counts(draw.permutation(text.ids).tolist())[0] for text in written.texts]
