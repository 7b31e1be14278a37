"""Tables, estimates and charts of hybrid chains."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from probes.hybrid.views import trace_views
from workbench.methods.contracts import Context
from workbench.result.estimate import Estimate
from workbench.result.intervals import mean_estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table

_TEXT = Column(help="Number of the text, from 0.")
_STEP = Column("tokens", "Tokens of the response before this one.")
_CONTROL = "inputs as far from the tokens in random directions"
STEPS = {
    "text": _TEXT,
    "step": _STEP,
    "token": Column(help="The token that was written."),
    "latent": Column(help="Whether a vector was fed in its place."),
    "p": Column("probability", "Of the token, after temperature."),
    "disagreement": Column("probability", "1 − p: what else might have been said."),
    "entropy": Column("nats", "Of the distribution after temperature."),
    "residual_mass": Column("probability", "Of the tokens that are not in the mixture."),
    "kl": Column("nats", "KL of this token's distribution, latent inputs from token inputs."),
    "flips": Column("share", "1 where latent inputs change the likeliest token."),
    "kl_control": Column("nats", f"The same for {_CONTROL}."),
    "flips_control": Column("share", f"The same for {_CONTROL}."),
    "attention": Column("proportion", "Onto latent positions, mean of heads and layers."),
    "norm_token": Column("", "Length of the token's embedding."),
    "norm_fed": Column("", "Length of what was fed."),
    "cosine_fed": Column("", "Cosine of what was fed with the token's embedding."),
    "a_mean": Column("", "Mean weight of the token over dimensions."),
    "a_q05": Column("", "5 % quantile of that weight."),
    "a_q50": Column("", "Its median."),
    "a_q95": Column("", "Its 95 % quantile."),
    "i_mean": Column("", "Mean of the input gate."),
    "ratio_of_mean": Column("", "√(1−ā²), ā the mean over dimensions."),
    "mean_ratio": Column("", "Mean of √(1−a²) over dimensions."),
    "norm_share": Column("proportion", "Length of the latent part among both parts."),
    "norm_mixture": Column("", "Length of the spread mixture."),
    "cosine_mixture": Column("", "Cosine of the mixture with the token's embedding."),
    "badge": Column(help="flip: latent inputs change the likeliest token here."),
}
MIXTURES = {
    "text": _TEXT,
    "step": _STEP,
    "rank": Column(help="1 is the heaviest."),
    "token": Column(help="Token in the mixture."),
    "weight": Column("probability", "Its weight."),
}
LAYERS = {
    "layer": Column(help="Layer, counted from 0."),
    "distance": Column("", "‖hybrid − token-only‖ / ‖token-only‖, mean over steps and texts."),
    "distance_control": Column("", f"The same for {_CONTROL}."),
}
GRID = {
    "layer": Column(help="Layer, counted from 0."),
    "step": _STEP,
    "distance": Column("", "‖hybrid − token-only‖ / ‖token-only‖ of the residual stream."),
    "distance_control": Column("", f"The same for {_CONTROL}."),
}
CHANGES = {
    "text": _TEXT,
    "intervention": Column(help="What was changed while the chain was written again."),
    "at": Column("tokens", "Step from which it acts, where it has one."),
    "differs": Column(help="Whether the response is another."),
    "first_change": Column("tokens", "First token that differs."),
    "kept": Column("proportion", "Of the longer response that stayed the same at its start."),
    "response": Column(help="What was written instead."),
}
REWRITTEN = {
    "intervention": Column(help="What was changed; unchanged: the chain as it was."),
    "step": _STEP,
    "token": Column(help="The token that was written."),
    "differs": Column("share", "1 where the unchanged chain has another token here."),
    "other": Column(help="Whether the unchanged chain has another token here."),
}
EFFECTS = {
    "intervention": Column(help="What was changed."),
    "differs": Column("proportion", "Of the responses became another."),
}
ATLAS = {
    "rank": Column(help="1: most open of the vocabulary."),
    "token": Column(help="Token."),
    "mean_ratio": Column("", "Mean of √(1−a²) for this token."),
    "i_mean": Column("", "Mean of the input gate for this token."),
    "kind": Column(help="Which end of the vocabulary."),
}
CHAINS = {
    "text": _TEXT,
    "prompt": Column(help="What was continued."),
    "response": Column(help="The hybrid response."),
    "tokens": Column("tokens", "Of the response."),
    "thinking": Column("tokens", "Fed as vectors."),
}


@dataclass(kw_only=True)
class Collected:
    """Rows of all texts."""

    chains: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    mixtures: list[dict[str, Any]] = field(default_factory=list)
    grids: list[list[dict[str, Any]]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    rewritten: list[dict[str, Any]] = field(default_factory=list)
    atlas: list[dict[str, Any]] = field(default_factory=list)


def report(found: Collected, notes: Sequence[Note], context: Context) -> Result:
    """Report the texts; means are over steps within a text, then over texts."""
    steps = [{**row, "badge": "flip" if row["flips"] else ""} for row in found.steps]
    estimates = _estimates(found.steps, context)
    tables = {
        "chains": Table.from_rows(found.chains, CHAINS),
        "steps": Table.from_rows(steps, STEPS),
        "mixtures": Table.from_rows(found.mixtures, MIXTURES),
        "layers": Table.from_rows(_layers(found.grids), LAYERS),
        "grid": Table.from_rows(found.grids[0], GRID),
    }
    if found.changes:
        tables["interventions"] = Table.from_rows(found.changes, CHANGES)
        tables["rewritten"] = Table.from_rows(found.rewritten, REWRITTEN)
        tables["effects"] = Table.from_rows(_effects(found.changes), EFFECTS)
    if found.atlas:
        tables["atlas"] = Table.from_rows(found.atlas, ATLAS)
    return Result(
        summary=_summary(estimates, found.changes),
        estimates=estimates,
        tables=tables,
        notes=tuple(notes),
        views=trace_views(tables, several=len(found.chains) > 1),
    )


def _per_text(steps: Sequence[dict[str, Any]], name: str) -> list[float]:
    values: dict[int, list[float]] = {}
    for row in steps:
        if row[name] is not None:
            values.setdefault(row["text"], []).append(float(row[name]))
    return [float(np.mean(known)) for known in values.values()]


_SHARES = ("share of tokens", "probability", "proportion")


def _estimates(steps: Sequence[dict[str, Any]], context: Context) -> tuple[Estimate, ...]:
    found = []
    for name, unit, control in (
        ("flips", "share of tokens", "flips_control"),
        ("kl", "nats per token", "kl_control"),
        ("entropy", "nats per token", ""),
        ("disagreement", "probability", ""),
        ("ratio_of_mean", "", ""),
        ("mean_ratio", "", ""),
        ("norm_share", "proportion", ""),
    ):
        values = _per_text(steps, name)
        if not values:
            continue
        one = mean_estimate(
            name,
            values,
            unit=unit,
            generator=context.stream(name),
            resamples=context.resamples,
            bounds=(0.0, 1.0) if unit in _SHARES else None,
        )
        if control:
            null = float(np.mean(_per_text(steps, control)))
            one = Estimate(**{**vars(one), "control": null, "control_name": "random directions"})
        found.append(one)
    return tuple(found)


def _layers(grids: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    layers = sorted({row["layer"] for row in grids[0]}) if grids[0] else []
    rows = []
    for layer in layers:
        mine = [[row for row in grid if row["layer"] == layer] for grid in grids]
        rows.append(
            {"layer": layer}
            | {
                name: float(np.mean([np.mean([r[name] for r in some]) for some in mine if some]))
                for name in ("distance", "distance_control")
            }
        )
    return rows


def _effects(changes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    names = dict.fromkeys(row["intervention"] for row in changes)
    return [
        {
            "intervention": name,
            "differs": float(np.mean([r["differs"] for r in changes if r["intervention"] == name])),
        }
        for name in names
    ]


def _summary(estimates: Sequence[Estimate], changes: Sequence[dict[str, Any]]) -> str:
    by_name = {e.name: e for e in estimates}
    flips, kl = by_name["flips"], by_name["kl"]
    told = (
        f"Latent inputs change the likeliest next token in {flips.value or 0:.1%} of steps and its "
        f"distribution by {kl.value or 0:.3g} nats; random directions as far from the tokens in "
        f"{flips.control or 0:.1%} and by {kl.control or 0:.3g} nats."
    )
    rewritten = sum(bool(row["differs"]) for row in changes)
    if len(changes) == 1:
        told += f" The intervention {changes[0]['intervention']} "
        told += (
            f"changes the response from token {changes[0]['first_change']} on."
            if rewritten
            else "leaves the response as it is."
        )
    elif changes:
        told += f" {rewritten} of {len(changes)} responses under an intervention are others."
    return told
