"""Charts of hybrid chains: the chain, what interventions wrote, its mixtures, its gate."""

from collections.abc import Mapping

from workbench.result.tables import Table
from workbench.result.views import Bars, Curve, Heatmap, TokenStrip, View

_GATE = ("mean_ratio", "norm_share")


def trace_views(tables: Mapping[str, Table], *, several: bool) -> tuple[View, ...]:
    """Return the charts that these tables can fill; `several` texts are told apart."""
    group = "text" if several else ""
    has_gate = bool(tables["steps"]["mean_ratio"].notna().any())
    return (
        _chain(group, has_gate),
        *(_rewritten() if "rewritten" in tables else ()),
        *(_mixtures(group) if len(tables["mixtures"]) else ()),
        *_comparisons(group),
        *(_gate(group) if has_gate else ()),
        *(_effects() if "effects" in tables and len(tables["effects"]) > 1 else ()),
        *(_atlas() if "atlas" in tables else ()),
        _grid(),
    )


def _chain(group: str, has_gate: bool) -> View:
    return TokenStrip(
        title="What else each token might have been",
        table="steps",
        token="token",
        color="disagreement",
        rows=("p", "entropy", "kl", *(_GATE if has_gate else ())),
        group=group,
        flag="latent",
        badge="badge",
        details="mixtures",
        key="step",
    )


def _rewritten() -> tuple[View, ...]:
    title = "The chain written again with one thing changed"
    return (
        TokenStrip(
            title=title,
            table="rewritten",
            token="token",
            color="differs",
            group="intervention",
            flag="other",
        ),
    )


def _mixtures(group: str) -> tuple[View, ...]:
    return (
        Heatmap(
            title="Mixtures: the heaviest tokens fed",
            table="mixtures",
            row="rank",
            column="step",
            value="weight",
            text="token",
            group=group,
        ),
    )


def _comparisons(group: str) -> tuple[View, ...]:
    return (
        Curve(
            title="Next token: latent inputs against tokens",
            table="steps",
            x="step",
            y=("kl",),
            control=("kl_control",),
            group=group,
        ),
        Curve(
            title="Residual stream: distance from token-only",
            table="layers",
            x="layer",
            y=("distance",),
            control=("distance_control",),
        ),
    )


def _gate(group: str) -> tuple[View, ...]:
    title = "How open the gate is: three ratios"
    y = ("ratio_of_mean", *_GATE)
    return (Curve(title=title, table="steps", x="step", y=y, group=group),)


def _effects() -> tuple[View, ...]:
    return (Bars(title="Responses changed", table="effects", x="intervention", y="differs"),)


def _atlas() -> tuple[View, ...]:
    return (Bars(title="Gate over the vocabulary", table="atlas", x="token", y="mean_ratio"),)


def _grid() -> View:
    return Heatmap(
        title="Distance at every token of the first text",
        table="grid",
        row="layer",
        column="step",
        value="distance",
    )
