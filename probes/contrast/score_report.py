"""Tables, charts and notes of contrastive scores beside rollouts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from probes.contrast.agreement import (
    CONTRAST,
    ENTROPY,
    SIGNALS,
    SURPRISAL,
    TOLD,
    Evaluation,
    correlations,
    hits,
)
from probes.contrast.examined import Examined
from probes.contrast.scoring import Likely, Scored
from workbench.model.model import Model
from workbench.result.estimate import Estimate
from workbench.result.intervals import mean_estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table, columns_from
from workbench.result.views import Bars, Curve, TokenStrip

KS = (1, 2, 3, 4, 5, 6, 8, 10)

_LIKELY = columns_from("""
    s (probability): Contrastive score; low marks a critical token.
    positive (probability): Under the positive model.
    negative (probability): Under the negative model.
    base (probability): Under the base model.
""")
_TOKENS = (
    columns_from("""
    trajectory: Number of the trajectory.
    position (tokens): Response tokens up to and including this one.
    token: The token as text.
    entropy (nats): Entropy of the base model's distribution of this token.
    p (probability; p_low, p_high): Success after this token.
    drop (probability): Success before minus success after this token.
    critical: Whether rollouts call this token critical.
    badge: critical, fallback or hopeless, as the rollouts say.
""")
    | _LIKELY
)
_PREFERRED = (
    columns_from("""
    trajectory: Number of the trajectory.
    position (tokens): Place in the response, counted from 1.
    alternative: One of the tokens of highest s at this place.
    is_own: Whether it is the response's own token.
""")
    | _LIKELY
)
_RANK = "Place of the critical token by {}, 1 being the most suspicious."
_CORRELATION = "Rank correlation of {} with the success drop."
_TRAJECTORIES = columns_from("""
    critical_position (tokens): Position of the critical token; empty if none.
    lowest_position (tokens): Position of the token of lowest s.
    candidates (tokens): Positions that may be critical.
    known (tokens): Positions where rollouts tell the success drop.
    draws (draws): Continuations drawn.
""") | {
    **{f"rank_{s}": Column("place", _RANK.format(s)) for s in SIGNALS},
    **{f"correlation_{s}": Column("correlation", _CORRELATION.format(s)) for s in SIGNALS},
}
_HITS = {
    "k": Column("tokens", "Most suspicious tokens looked at."),
    **{
        s: Column("proportion", f"The critical one is among them by {s}.", f"{s}_low", f"{s}_high")
        for s in SIGNALS
    },
    "random": Column("proportion", "The same in a random order."),
    "n": Column("trajectories", "Trajectories with a critical token."),
}
_AGREEMENT = columns_from("""
    signal: What the tokens are ordered by.
    correlation (correlation; low, high): With the success drop.
    random (correlation): The same in a random order.
    n (trajectories): Trajectories with a known success curve.
""")


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """One wrong response: what rollouts found and what the contrast says."""

    found: Examined
    scored: Scored

    @property
    def judged(self) -> Evaluation:
        """Its signals, high meaning suspicious, beside the success drop."""
        return Evaluation(
            signals={
                CONTRAST: -self.scored.own.s.double().numpy(),
                ENTROPY: self.found.entropy,
                SURPRISAL: -self.scored.own.base.double().numpy(),
            },
            drop=self.found.drop,
            candidates=self.found.candidates,
            critical=self.found.critical,
        )


def report(compared: Sequence[Compared], model: Model) -> Result:
    """Turn scored trajectories into a Result."""
    judged = [one.judged for one in compared]
    agreed = correlations(judged)
    at = {k: hits(judged, k) for k in KS}
    estimates = [*agreed, *(e for k in TOLD for e in at[k]), _draws(compared)]
    tables = {
        "tokens": Table.from_rows(_token_rows(compared, model), _TOKENS),
        "preferred": Table.from_rows(_preferred_rows(compared, model), _PREFERRED),
        "trajectories": Table.from_rows(_trajectory_rows(compared, judged, model), _TRAJECTORIES),
        "agreement": Table.from_rows(_agreement_rows(agreed), _AGREEMENT),
        "hits": Table.from_rows((_hit_row(k, at[k]) for k in KS), _HITS),
    }
    return Result(
        summary=f"{_verdict(agreed[0])}; {at[TOLD[0]][0]}; {agreed[len(SIGNALS)]}.",
        estimates=tuple(estimates),
        tables=tables,
        notes=_notes(judged),
        views=_VIEWS,
    )


def _verdict(agreed: Estimate) -> str:
    text = "The contrast is {} where rollouts begin to fail"
    return agreed.told(text, "lower", "higher", "not shown to follow")


_VIEWS = (
    TokenStrip(
        "Contrastive score of each token",
        "tokens",
        token="token",
        color="s",
        rows=("p", "drop", "entropy", "positive", "negative", "base"),
        group="trajectory",
        flag="critical",
        badge="badge",
        details="preferred",
        key="position",
    ),
    Curve(
        "Critical token among the k most suspicious", "hits", x="k", y=SIGNALS, control=("random",)
    ),
    Bars(
        "Rank correlation with the success drop",
        "agreement",
        x="signal",
        y="correlation",
        control="random",
    ),
)


def _agreement_rows(estimates: Sequence[Estimate]) -> Iterator[dict[str, Any]]:
    """Turn the estimates of the signals, which come first, into rows."""
    for signal, estimate in zip(SIGNALS, estimates, strict=False):
        yield {
            "signal": signal,
            "correlation": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "random": estimate.control,
            "n": estimate.n,
        }


def _hit_row(k: int, estimates: Sequence[Estimate]) -> dict[str, Any]:
    """Put the signals side by side; their estimates come first."""
    row: dict[str, Any] = {"k": k}
    for signal, estimate in zip(SIGNALS, estimates, strict=False):
        bounds = {f"{signal}_low": estimate.low, f"{signal}_high": estimate.high}
        row |= {signal: estimate.value, **bounds}
    return row | {"random": estimates[0].control, "n": estimates[0].n}


def _token_rows(compared: Sequence[Compared], model: Model) -> Iterator[dict[str, Any]]:
    for one in compared:
        found = one.found
        for i, token in enumerate(found.row.response):
            yield {
                "trajectory": found.trajectory,
                "position": i + 1,
                "token": model.decode([token]),
                **_likely(one.scored.own, (i,)),
                "entropy": found.entropy[i],
                "p": found.success[i],
                "p_low": found.low[i],
                "p_high": found.high[i],
                "drop": found.drop[i],
                "critical": i + 1 == found.critical,
                "badge": found.badge if i + 1 == found.critical else "",
            }


def _preferred_rows(compared: Sequence[Compared], model: Model) -> Iterator[dict[str, Any]]:
    for one in compared:
        for i, own in enumerate(one.found.row.response):
            for j, token in enumerate(one.scored.preferred[i].tolist()):
                yield {
                    "trajectory": one.found.trajectory,
                    "position": i + 1,
                    "alternative": model.decode([token]),
                    "is_own": token == own,
                    **_likely(one.scored.of_preferred, (i, j)),
                }


def _likely(values: Likely, at: tuple[int, ...]) -> dict[str, float]:
    parts: Mapping[str, torch.Tensor] = {name: getattr(values, name) for name in _LIKELY}
    return {name: float(x[at].exp()) for name, x in parts.items()}


def _trajectory_rows(
    compared: Sequence[Compared], judged: Sequence[Evaluation], model: Model
) -> Iterator[dict[str, Any]]:
    for one, said in zip(compared, judged, strict=True):
        found, response = one.found, one.found.row.response
        lowest = int(np.argmax(said.signals[CONTRAST][: len(found.candidates)])) + 1
        critical = found.critical
        yield {
            "trajectory": found.trajectory,
            "question": found.question,
            "answer": found.answer,
            "response": found.text,
            "critical_position": critical,
            "critical_token": model.decode([response[critical - 1]]) if critical else None,
            "lowest_position": lowest,
            "lowest_token": model.decode([response[lowest - 1]]),
            "candidates": len(found.candidates),
            "known": said.known,
            "draws": found.draws,
            **{f"rank_{s}": said.rank(s) for s in SIGNALS},
            **{f"correlation_{s}": said.correlation(s) for s in SIGNALS},
        }


def _draws(compared: Sequence[Compared]) -> Estimate:
    return mean_estimate(
        "rollouts, where the contrast takes two passes over the response",
        [float(one.found.draws) for one in compared],
        unit="continuations per trajectory",
        n_unit="trajectories",
    )


def _notes(judged: Sequence[Evaluation]) -> tuple[Note, ...]:
    notes = []
    undecided = sum(one.critical is None for one in judged)
    partly = sum(one.known < len(one.candidates) - 1 for one in judged)
    if undecided:
        notes.append(
            Note(
                f"{undecided} trajectories have no critical token and count for no hit@k",
                "warning",
            )
        )
    if partly:
        notes.append(
            Note(
                f"the success curve of {partly} trajectories is known in part: correlations use "
                "only those positions; take rollouts of mode exhaustive or off-path",
                "warning",
            )
        )
    if len(judged) < 10:
        notes.append(Note(f"only {len(judged)} trajectories: intervals are wide", "warning"))
    return tuple(notes)
