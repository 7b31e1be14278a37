"""Errors of explainers, pair by pair, as a Result."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from causal.concepts.explain import errors
from causal.concepts.pairs import BAND, COLUMNS, Guesses, explained_rows, pair_rows
from causal.concepts.rows import Concepts
from workbench.methods.study_report import study_report
from workbench.result.estimate import Estimate
from workbench.result.metric import Axis, Control, Plot, number, share
from workbench.result.result import Note, Result
from workbench.result.row_samples import samples_of
from workbench.result.samples import VALUE, Samples
from workbench.result.tables import columns_from
from workbench.result.views import Curve

_AXES = ("explainer", "layer")
_LAYERED = ("match", "erase", "swap", "interchange")


def _skill(x: Float[np.ndarray, "*axes part"]) -> Float[np.ndarray, "*axes"]:
    return np.asarray(1 - x[..., 0] / x[..., 1])


METRICS = {
    "l2": number("probability", "‖true − explained‖ of the effect on the answers.", *_AXES),
    "cosine": number("1 − cosine", "Of the angle between both; 1 where either is zero.", *_AXES),
    "normdiff": number("probability", "Difference of both lengths.", *_AXES),
    "skill": number("proportion", "1 − L2/L2 of the zero explainer.", *_AXES, of=_skill),
}
SIZE = {"size": number("probability", "‖p(x′) − p(x)‖ of true pairs.", name="true_effect")}
TOLD = {
    "as_target": share("Edited states that a linear probe reads as the wanted value.", *_AXES),
    "controls_kept": share("Control values a linear probe still reads in them.", *_AXES),
}
CONTROLS = {"random": Control("random subspaces", "erasing random subspaces of the same rank")}
_COLUMNS = COLUMNS | columns_from("""
    l2_lowest (probability): Lowest mean L2 among random subspaces.
    l2_highest (probability): Highest mean L2 among random subspaces.
    erase (probability): Mean L2 of erasing the concept.
    draws (subspaces): Random subspaces erased.
""")

_PLOTS = (
    Plot(title="Better than zero, by layer", metrics=("skill",), axes=_AXES),
    Plot(title="Distance from the true effect", metrics=("l2",), axes=_AXES),
    Plot(title="Angle to the true effect", metrics=("cosine",), axes=_AXES),
    Curve(
        title="Control values that a probe still reads in edited states",
        table="probes",
        x="layer",
        y=("controls_kept",),
        group="explainer",
    ),
)


def effect_report(
    rows: Concepts,
    true: Float[np.ndarray, "pair n_class"],
    guesses: Guesses,
    told: Sequence[Mapping[str, Any]],
    *,
    layers: Sequence[int],
    answers: Sequence[str],
) -> Result:
    """Lay errors out by explainer and layer, beside zero, random and the band of subspaces."""
    measured = {key: errors(true, guess) for key, guess in guesses.items()}
    size = np.linalg.norm(true, axis=1)
    groups = np.unique(rows.groups[rows.pairs[:, 0]], return_inverse=True)[1]
    found = _errors(measured, layers, groups)
    sizes = Samples.of({VALUE: {"size": size}}, SIZE, groups=groups, unit="pairs")
    reads = _reads(told, groups, found)
    estimates = [sizes.estimate("size"), *_best(found, layers)]
    return study_report(
        [found, sizes],
        summary=_summary(rows.concept, estimates, len(layers)),
        averages={"errors": _AXES},
        rows={
            "band": _band(measured, layers),
            "probes": _averaged(reads),
            "pairs": pair_rows(rows, true),
            "explained": explained_rows(guesses, true, answers, layers),
        },
        columns=_COLUMNS,
        plots=_PLOTS,
        estimates=estimates,
        notes=[
            Note(
                f"each estimate is that of an explainer's best of {len(layers)} layers, which is "
                "chosen on the same pairs",
                "info",
                "best-layer",
            )
        ],
    )


def _reads(told: Sequence[Mapping[str, Any]], groups: NDArray[np.int64], found: Samples) -> Samples:
    axes = {axis: found.axes_of[axis] for axis in _AXES}
    explainers = tuple(dict.fromkeys(row["explainer"] for row in told))
    return samples_of(
        [{**row, "group": int(groups[row["pair"]])} for row in told],
        TOLD,
        by=("pair",),
        group="group",
        unit="pairs",
        axes_of={**axes, "explainer": Axis(help=axes["explainer"].help, labels=explainers)},
    )


def _best(found: Samples, layers: Sequence[int]) -> list[Estimate]:
    """Return the skill of every explainer but zero at its best layer."""
    skill = found.mean("skill", with_interval=True)
    estimates = []
    for i, name in enumerate(found.axes_of["explainer"].labels):
        if name == "zero":
            continue
        # Where no pair's answers change, skill is defined at no layer.
        known = np.isfinite(skill.value[i]).any()
        layer = layers[int(np.nanargmax(skill.value[i])) if known else -1]
        # What sees no layer is the same at all of them.
        title = f"skill.{name}" + (f".{layer}" if name in _LAYERED else "")
        at = {"explainer": name, "layer": layer}
        estimates.append(found.estimate("skill", "random", at=at, name=title))
    return estimates


def _errors(
    measured: Mapping[tuple[str, int], Mapping[str, NDArray[np.float64]]],
    layers: Sequence[int],
    groups: NDArray[np.intp],
) -> Samples:
    """Return errors as `pair explainer layer`, the mean of random subspaces beside erasing."""
    names = tuple(dict.fromkeys(n for n, _ in measured if not n.startswith(BAND)))
    draws = list(dict.fromkeys(n for n, _ in measured if n.startswith(BAND)))
    zero = np.stack([measured["zero", layer]["l2"] for layer in layers], axis=-1)

    def laid(name: str) -> dict[str, NDArray[np.float64]]:
        found = {
            m: np.stack([measured[name, layer][m] for layer in layers], axis=-1)
            for m in ("l2", "cosine", "normdiff")
        }
        return found | {"skill": np.stack([found["l2"], zero], axis=-1)}

    def of_draws(metric: str, like: NDArray[np.float64]) -> NDArray[np.float64]:
        mean = np.mean([laid(draw)[metric] for draw in draws], axis=0)
        whole = np.full_like(like, np.nan)
        for name in _LAYERED[1:]:
            whole[:, names.index(name)] = mean
        return whole

    values = {m: np.stack([laid(name)[m] for name in names], axis=1) for m in METRICS}
    return Samples.of(
        {VALUE: values, "random": {m: of_draws(m, x) for m, x in values.items()}},
        METRICS,
        groups=groups,
        unit="pairs",
        controls_of=CONTROLS,
        axes_of={
            "explainer": Axis(help="How the effect is explained.", labels=names),
            "layer": Axis(
                help="Layer of the edit; explainers without one are the same at all.",
                labels=tuple(layers),
            ),
        },
    )


def _band(
    measured: Mapping[tuple[str, int], Mapping[str, NDArray[np.float64]]], layers: Sequence[int]
) -> list[dict[str, Any]]:
    draws = list(dict.fromkeys(n for n, _ in measured if n.startswith(BAND)))
    rows = []
    for layer in layers:
        found = [float(measured[draw, layer]["l2"].mean()) for draw in draws]
        erased = float(measured["erase", layer]["l2"].mean())
        ends = {"l2_lowest": min(found), "l2_highest": max(found)}
        rows.append({"layer": layer, "erase": erased, **ends, "draws": len(draws)})
    return rows


def _averaged(reads: Samples) -> Any:
    from workbench.methods.per_unit_report import axis_table

    return axis_table(reads, _AXES)


def _summary(concept: str, estimates: Sequence[Estimate], n_layers: int) -> str:
    size, *skills = estimates
    best = max(skills, key=_size)
    sure = [e for e in skills if e.low is not None and e.low > 0]
    start = f"Changing {concept} in the text moves the answers by {_value(size)}."
    if not sure:
        worst = "No explainer is better than saying that nothing changes; best is"
        return f"{start} {worst} {_place(best)}: {_value(best)}."
    edits = [e for e in sure if e.name.split(".")[1] in _LAYERED[1:]]
    nearest = max(edits, key=_size) if edits else None
    if nearest is best:
        tail = ""
    elif nearest is not None:
        tail = f" Among edits of the state {_place(nearest)} comes closest."
    else:
        tail = " No edit of the state is."
    return (
        f"{start} {len(sure)} explainers are better than zero at their best of {n_layers} "
        f"layers, first {_place(best)}: {_value(best)}.{tail}"
    )


def _size(estimate: Estimate) -> float:
    return -np.inf if estimate.value is None else estimate.value


def _value(estimate: Estimate) -> str:
    return str(estimate).removeprefix(f"{estimate.name} ")


def _place(estimate: Estimate) -> str:
    """Return the explainer, and the layer where it has one."""
    _, name, *layer = estimate.name.split(".")
    return f"{name} after layer {layer[0]}" if layer else name
