"""A trained codec as a result: exact match by family and length, controls, curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reasoning.codec.corpus import Corpus
from reasoning.codec.evaluation import Evaluated
from workbench.result.control_words import with_control
from workbench.result.estimate import Estimate
from workbench.result.intervals import mean_estimate, proportion_estimate, proportion_interval
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table, columns_from
from workbench.result.views import Bars, Curve
from workbench.training.checkpoint import Manifest
from workbench.training.loop import History
from workbench.training.report import checkpoint_note, loss_tables, loss_views

BANDS = (4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128, 256, 1024)
_RANDOM = "random vectors of the same length"
_EXACT = "Sentences that come back token for token."
_SHOWN = 12
_TRAINING = Column("nats", "Mean over the tokens of half-disturbed sentences.")
_HELD_OUT = Column("nats", "Mean over the tokens of held-out sentences; lowest is kept.")


def report(judged: Sequence[Evaluated], history: History, corpus: Corpus) -> Result:
    """Describe how well held-out sentences come back, and how training went."""
    estimates = estimates_of(judged)
    return Result(
        summary=f"{estimates[0]}; {estimates[1]}.",
        estimates=estimates,
        tables={
            "lengths": _lengths(judged),
            "families": _families(judged, corpus),
            "sentences": _sentences(judged),
            **loss_tables({"codec": history}, _TRAINING, _HELD_OUT),
        },
        views=(
            Curve(
                "Exact match of held-out sentences against their length",
                "lengths",
                x="tokens",
                y=("exact_match",),
                group="family",
            ),
            Bars(
                "Exact match by family",
                "families",
                x="family",
                y="exact_match",
                control="random_exact_match",
            ),
            *loss_views(),
        ),
    )


def estimates_of(judged: Sequence[Evaluated]) -> tuple[Estimate, ...]:
    """Return exact match and token overlap, all together, then exact match by family."""
    told = "tokens in common"
    mine = _mean(told, [one.overlap for one in judged])
    random = [one.random_overlap for one in judged]
    mean = with_control(mine, _RANDOM, _mean(_RANDOM, random), random)
    found = [_exact("exact match", judged), mean]
    names = list(dict.fromkeys(one.family for one in judged))
    for name in names if len(names) > 1 else ():
        found.append(_exact(f"exact match, {name}", [one for one in judged if one.family == name]))
    return tuple(found)


def scores_of(judged: Sequence[Evaluated]) -> dict[str, Any]:
    """Return the estimates as the manifest of a checkpoint keeps them."""
    return {
        e.name: {"value": e.value, "n": e.n, "random vectors": e.control}
        for e in estimates_of(judged)
    }


def notes(corpus: Corpus, folder: Path, manifest: Manifest, longest: int) -> tuple[Note, ...]:
    """Say where the checkpoint is and what its domain leaves out."""
    left = {name: n for name, n in corpus.left_out.items() if n}
    found = [checkpoint_note(manifest, folder)]
    if left:
        told = ", ".join(f"{name} {n}" for name, n in left.items())
        found.append(
            Note(f"sentences of more than {longest} tokens were left out: {told}", code="left-out")
        )
    return tuple(found)


def _mean(name: str, values: Sequence[float]) -> Estimate:
    return mean_estimate(name, values, unit="F1", n_unit="sentences", bounds=(0.0, 1.0))


def _exact(name: str, judged: Sequence[Evaluated]) -> Estimate:
    hits, random = (
        sum(getattr(one, field) for one in judged) for field in ("is_exact", "random_is_exact")
    )
    found, other = (
        proportion_estimate(name, count, len(judged), n_unit="sentences")
        for count in (hits, random)
    )
    return with_control(found, _RANDOM, other)


def _lengths(judged: Sequence[Evaluated]) -> Table:
    rows = []
    for name in dict.fromkeys(one.family for one in judged):
        mine = [one for one in judged if one.family == name]
        for low, high in zip((0, *BANDS), BANDS, strict=False):
            some = [one for one in mine if low < one.n_tokens <= high]
            if some:
                at = sum(one.n_tokens for one in some) / len(some)
                rows.append(
                    {"family": name, "tokens": at, "from": low + 1, "to": high, **_cells(some)}
                )
    return Table.from_rows(
        rows,
        {
            "tokens": Column("tokens", "Mean length of the sentences of a band."),
            "from": Column("tokens", "Shortest length of the band."),
            "to": Column("tokens", "Longest length of the band."),
            **_columns(),
        },
    )


def _families(judged: Sequence[Evaluated], corpus: Corpus) -> Table:
    train, test = corpus.part("train"), corpus.part("test")
    rows = []
    for name in dict.fromkeys(one.family for one in judged):
        some = [one for one in judged if one.family == name]
        rows.append(
            {
                "family": name,
                "n_train": len(train.get(name, ())),
                "n_test": len(test.get(name, some)),
                **_cells(some),
            }
        )
    return Table.from_rows(rows, _columns())


def _cells(judged: Sequence[Evaluated]) -> dict[str, Any]:
    hits, n = sum(one.is_exact for one in judged), len(judged)
    interval = proportion_interval(hits, n)
    means = ("overlap", "random_overlap", "other_overlap", "logprob", "random_logprob")
    return {
        "n": n,
        "exact_match": hits / n,
        "exact_match_low": interval.low,
        "exact_match_high": interval.high,
        "random_exact_match": sum(one.random_is_exact for one in judged) / n,
        **{name: sum(getattr(one, name) for one in judged) / n for name in means},
    }


def _columns() -> dict[str, Column]:
    return columns_from("""
        family: Where the sentences come from.
        n (sentences): Held-out sentences judged.
        n_train (sentences): Different sentences trained on.
        n_test (sentences): Different sentences that were never seen.
        random_exact_match (proportion): The same from random vectors.
        overlap (F1): Tokens in common with the sentence.
        random_overlap (F1): The same for what random vectors yield.
        other_overlap (F1): The same for what another sentence's vector yields.
        logprob (nats): Mean log-probability of the tokens written.
        random_logprob (nats): The same for random vectors.
    """) | {"exact_match": Column("proportion", _EXACT, "exact_match_low", "exact_match_high")}


def _sentences(judged: Sequence[Evaluated]) -> Table:
    rows = []
    for name in dict.fromkeys(one.family for one in judged):
        mine = [one for one in judged if one.family == name]
        missed = [one for one in mine if not one.is_exact][: _SHOWN // 2]
        rows += [*missed, *[one for one in mine if one.is_exact][: _SHOWN - len(missed)]]
    names = ("family", "sentence", "written", "is_exact", "logprob", "random", "random_logprob")
    return Table.from_rows(
        [{name: getattr(one, name) for name in names} for one in rows],
        columns_from("""
            family: Where the sentence comes from.
            sentence: A held-out sentence; missed ones come first.
            written: What was written from its vector.
            is_exact: Whether both are the same tokens.
            logprob (nats): Mean log-probability of the tokens written.
            random: What a random vector of the same length yields.
            random_logprob (nats): Mean log-probability of its tokens.
        """),
    )
