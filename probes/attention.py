"""Where every head looks: attention patterns and their scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.model.model import Model
from workbench.model.sites import Kind, every_layer
from workbench.options import option
from workbench.result.estimate import Estimate
from workbench.result.intervals import mean_estimate, mean_interval
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Curve, Heatmap

SCORES = ("to_first", "to_previous", "entropy")
_FROM = 2  # queries before this see the first and the previous token as one, or only themselves
_LEAST_TEXTS = 10


@probe(
    "attention-pattern",
    source="Clark et al. 2019, arXiv:1906.04341, section 3; Xiao et al. 2023, arXiv:2309.17453",
)
@dataclass(frozen=True, kw_only=True)
class AttentionPattern:
    """See where every head of every layer looks: first token, previous token, or all over.

    `to_first` and `to_previous` are the mean attention weight on the first token and on the one
    before the query; entropy is −Σ a ln a over the tokens a query sees. Queries 2, 3, … count.
    The null is uniform attention over what each query sees, in closed form.

    Units: shares are attention weight (0 to 1), entropy is in nats.

    Means are over queries within a text, then over texts; intervals resample texts. The whole
    pattern of the first text is kept as the array `pattern` [layer, head, query, key].

    Source: Clark et al. 2019, section 3 (they study an encoder; here a query sees only what came
    before). Attention on the first token: Xiao et al. 2023, section 3.
    """

    longest: int = option(
        96, help="Cut each text to so many tokens.", low=3, high=1024, unit="tokens"
    )

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        sites = every_layer(Kind.ATTN_PATTERN, model.spec)
        scores, nulls, first, words, skipped = [], [], None, [], 0
        for i, example in enumerate(examples):
            context.progress(i, len(examples), "texts")
            tokens = model.tokenize(example.text, limit=min(self.longest, model.spec.max_positions))
            n = tokens.ids.shape[1]
            if n <= _FROM:
                skipped += 1
                continue
            trace = model.run(tokens, read=sites)
            pattern = np.stack([trace.row(0, site).float().cpu().numpy() for site in sites])
            if first is None:
                first, words = pattern, [model.decode([t]) for t in tokens.row(0)]
            scores.append(head_scores(pattern))
            nulls.append(uniform_scores(n))
        context.progress(len(examples), len(examples), "texts")
        if first is None:
            raise TooLittleData(f"no text has more than {_FROM} tokens", hint="give a longer text")
        return _report(np.stack(scores), np.stack(nulls), (first, words), (context, skipped))


def head_scores(
    pattern: Float[np.ndarray, "layer head pos pos"],
) -> Float[np.ndarray, "score layer head"]:
    """Reduce patterns to the scores of every head, averaged over queries from 2 on."""
    queries = np.arange(_FROM, pattern.shape[-1])
    seen = pattern[:, :, queries]
    logs = np.log(seen, out=np.zeros_like(seen), where=seen > 0)
    found: Float[np.ndarray, "score layer head"] = np.stack(
        [
            seen[..., 0].mean(axis=-1),
            pattern[:, :, queries, queries - 1].mean(axis=-1),
            -(seen * logs).sum(axis=-1).mean(axis=-1),
        ]
    ).astype(np.float64)
    return found


def uniform_scores(n: int) -> Float[np.ndarray, " score"]:
    """Return the scores of a head that looks at all it sees alike, for a text of n tokens."""
    visible = np.arange(_FROM, n) + 1.0
    share = float((1 / visible).mean())
    return np.array([share, share, float(np.log(visible).mean())])


def _report(
    scores: Float[np.ndarray, "n score layer head"],
    nulls: Float[np.ndarray, "n score"],
    shown: tuple[Float[np.ndarray, "layer head pos pos"], list[str]],
    rest: tuple[Context, int],
) -> Result:
    context, skipped = rest
    pattern, words = shown
    estimates = tuple(
        _estimate(name, scores[:, k].mean(axis=(1, 2)), float(nulls[:, k].mean()), context)
        for k, name in enumerate(SCORES)
    )
    return Result(
        summary=_summary(estimates[0], scores),
        estimates=estimates,
        tables={
            "layers": _layer_table(scores, nulls, context),
            "heads": Table.from_rows(_head_rows(scores, nulls), _COLUMNS),
            "tokens": Table.from_rows(
                [{"position": i, "token": word} for i, word in enumerate(words)],
                {"position": Column(unit="tokens"), "token": Column(help="The first text.")},
            ),
        },
        arrays={"pattern": pattern.astype(np.float16)},
        notes=_notes(len(scores), skipped),
        views=_VIEWS,
    )


_VIEWS = (
    Heatmap(
        title="Attention on the first token, head by head",
        table="heads",
        row="layer",
        column="head",
        value="to_first",
    ),
    Curve(
        title="Where heads look, mean over the heads of a layer",
        table="layers",
        x="layer",
        y=("to_first", "to_previous", "entropy"),
        control=("to_first_uniform", "entropy_uniform"),
    ),
    Heatmap(
        title="Attention on the previous token, head by head",
        table="heads",
        row="layer",
        column="head",
        value="to_previous",
    ),
)

_UNITS = {"to_first": "attention", "to_previous": "attention", "entropy": "nats"}
_WORDS = {
    "to_first": "Mean attention weight on the first token",
    "to_previous": "Mean attention weight on the token before",
    "entropy": "Mean entropy of the attention weights",
}
_COLUMNS = {
    "layer": Column(help="Layer, counted from 0."),
    "head": Column(help="Head, counted from 0."),
    **{name: Column(unit=_UNITS[name], help=f"{_WORDS[name]}.") for name in SCORES},
    **{
        f"{name}_uniform": Column(unit=_UNITS[name], help=f"{_WORDS[name]}, if it were uniform.")
        for name in SCORES
    },
}


def _head_rows(
    scores: Float[np.ndarray, "n score layer head"], nulls: Float[np.ndarray, "n score"]
) -> list[dict[str, Any]]:
    means, null = scores.mean(axis=0), nulls.mean(axis=0)
    return [
        {
            "layer": layer,
            "head": head,
            **{name: float(means[k, layer, head]) for k, name in enumerate(SCORES)},
            **{f"{name}_uniform": float(null[k]) for k, name in enumerate(SCORES)},
        }
        for layer in range(means.shape[1])
        for head in range(means.shape[2])
    ]


def _bounds(name: str) -> tuple[float, float] | None:
    return (0.0, 1.0) if _UNITS[name] == "attention" else None


def _layer_table(
    scores: Float[np.ndarray, "n score layer head"],
    nulls: Float[np.ndarray, "n score"],
    context: Context,
) -> Table:
    per_text = scores.mean(axis=3)
    rows = []
    for layer in range(per_text.shape[2]):
        row: dict[str, Any] = {"layer": layer}
        for k, name in enumerate(SCORES):
            values = per_text[:, k, layer]
            band = mean_interval(values, bounds=_bounds(name))
            row[name] = float(values.mean())
            row[f"{name}_low"] = band.low
            row[f"{name}_high"] = band.high
            row[f"{name}_uniform"] = float(nulls[:, k].mean())
        rows.append({**row, "n_texts": len(scores)})
    columns = {
        name: Column(unit=about.unit, help=about.help, low=f"{name}_low", high=f"{name}_high")
        if name in SCORES
        else about
        for name, about in _COLUMNS.items()
        if name != "head"
    }
    return Table.from_rows(rows, columns)


def _estimate(
    name: str, values: Float[np.ndarray, " n"], null: float, context: Context
) -> Estimate:
    found = mean_estimate(
        name,
        values,
        unit=_UNITS[name],
        generator=context.stream(name),
        resamples=context.resamples,
        bounds=_bounds(name),
    )
    return Estimate(**{**vars(found), "control": null, "control_name": "uniform attention"})


def _summary(to_first: Estimate, scores: Float[np.ndarray, "n score layer head"]) -> str:
    means = scores[:, 0].mean(axis=0)
    layer, head = np.unravel_index(int(means.argmax()), means.shape)
    band = ""
    if to_first.low is not None and to_first.high is not None:
        band = f" [{to_first.low:.2g}, {to_first.high:.2g}]"
    return (
        f"Heads put {to_first.value:.2g}{band} of their attention on the first token "
        f"({to_first.control:.2g} if they looked everywhere alike); most does head {head} of "
        f"layer {layer} with {means[layer, head]:.2g}."
    )


def _notes(n_texts: int, skipped: int) -> tuple[Note, ...]:
    notes = []
    if n_texts < _LEAST_TEXTS:
        words = "one text: nothing to resample, so there are no intervals"
        if n_texts > 1:
            words = f"{n_texts} texts only: the intervals are rough"
        notes.append(Note(words, "info", "few-texts"))
    if skipped:
        notes.append(
            Note(f"{skipped} texts have no more than {_FROM} tokens and were left out", "warning")
        )
    return tuple(notes)
