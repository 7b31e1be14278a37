"""Whether a state tells that the answer will be right, beyond what the question itself tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import LogisticRegression

from probes.asked_states import AskedStates, fold_of
from probes.beliefs.ridge import tuned_ridge
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.methods.study_report import study_report
from workbench.model.model import Model
from workbench.result.metric import Control, Metric, Plot
from workbench.result.result import Note, Result
from workbench.result.row_samples import samples_of
from workbench.sampling.choice_states import ASKED, AskedItems

_LEAST, _INNER = 5, 4
_METRICS = {
    "gain": Metric(
        unit="nats per question", help="Log-loss without the state less that with the state."
    ),
}
_CONTROLS = {
    "shuffled": Control("states of other questions", "the state of another question is read"),
}
Array = Float[np.ndarray, "n k"]


@probe(
    "choice-correctness", source="Kadavath et al. 2022, arXiv:2207.05221; Azaria & Mitchell 2023"
)
@dataclass(frozen=True, kw_only=True)
class ChoiceCorrectness(AskedStates):
    """Predict from a state whether the answer is right, beyond margin, length and kind of question.

    Two nested logistic models predict whether the model's choice is the computed one, for the
    questions of other groups: one from the margin log p(first) − log p(second), its size, the
    length of the prompt and the kind of question (a relation, a query, a type), the other from
    these and a readout of the state at the end of the question. The readout is a ridge fit whose
    penalty is chosen inside the training part, and there every question is read by a fit that
    has not seen it. The gain in log-loss is what the state adds. Control: states of other
    questions, fitted and scored alike. It reads and intervenes nowhere.

    Units: nats per question; 0 adds nothing, below 0 the readout misleads. Intervals resample
    groups.

    Raises:
        TooLittleData: fewer groups than folds, or hardly any right or wrong answer.

    Source: P(IK) of Kadavath et al., Azaria & Mitchell; nested in what needs no state.
    """

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        sites, asked = self.asked(model, context)
        right = asked.is_right
        if min(right.sum(), (~right).sum()) < _LEAST:
            raise TooLittleData(
                f"{int(right.sum())} answers are right and {int((~right).sum())} wrong; expected "
                f"{_LEAST} of both",
                hint="raise --limit, or take an easier or harder task",
            )
        fold = fold_of(asked, self.n_folds, context)
        bare = losses(asked, None, fold)
        order = _other_questions(fold, context)
        rows = []
        for i, site in enumerate(sites):
            x = asked.states[ASKED, site].astype(np.float64)
            for kind, states in (("", x), ("shuffled", x[order])):
                gain = bare - losses(asked, states, fold)
                rows += [
                    {"item": item.id, "group": asked.groups[j], "layer": site.layer,
                     "kind": kind, "gain": float(gain[j])}
                    for j, item in enumerate(asked.items)
                ]  # fmt: skip
            context.progress(i + 1, len(sites), "layers read")
        return asked.told(_report(rows, float(right.mean()), float(bare.mean())))


def _other_questions(fold: Int[np.ndarray, " n"], context: Context) -> Int[np.ndarray, " n"]:
    """Return another question of the same part for each, so that parts stay apart."""
    draw = context.stream("states of other questions")
    found = np.arange(len(fold))
    for part in np.unique(fold):
        mine = draw.permutation(np.flatnonzero(fold == part))
        if len(mine) < 2:
            raise TooLittleData(
                "a part of the questions holds only one, so there is no other to read",
                hint="raise --limit, or lower --n-folds",
            )
        found[mine] = np.roll(mine, 1)
    return found


def _covariates(asked: AskedItems) -> Array:
    """Return what needs no state: the margin, its size, the length and the kind of question."""
    kinds = np.array([item.family for item in asked.items])
    length = np.log([len(ids) for ids in asked.ids])
    hot = kinds[:, None] == np.unique(kinds)[None]
    return np.column_stack([asked.margin, np.abs(asked.margin), length, hot.astype(np.float64)])


def losses(
    asked: AskedItems, states: Array | None, fold: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Return the held-out log-loss of whether each answer is right, in nats.

    With states, what a readout says of them stands beside the covariates.
    """
    known, right = _covariates(asked), asked.is_right
    _, owner = np.unique(asked.groups, return_inverse=True)
    found = np.zeros(len(fold))
    for part in np.unique(fold):
        train, test = fold != part, fold == part
        x, new = known[train], known[test]
        if states is not None:
            told = _readings(states, right, owner, train)
            x, new = np.column_stack([x, told[train]]), np.column_stack([new, told[test]])
        p = _fitted(x, right[train], new)
        found[test] = -np.log(np.where(right[test], p, 1 - p))
    return found


def _readings(
    states: Array,
    right: Bool[np.ndarray, " n"],
    owner: Int[np.ndarray, " n"],
    train: Bool[np.ndarray, " n"],
) -> Float[np.ndarray, " n"]:
    """Return readings of every state by a fit to training questions of other groups."""
    goal = right.astype(np.float64)[:, None]
    inner = np.where(train, owner % _INNER, -1)
    found = np.zeros(len(owner))
    for part in np.unique(inner):
        rest = train & (inner != part)
        readout = tuned_ridge(states[rest], [goal[rest]], owner[rest])[0]
        found[inner == part] = readout.read(states[inner == part])[:, 0]
    return found


def _fitted(
    x: Array, right: Bool[np.ndarray, " n"], new: Float[np.ndarray, "m k"]
) -> Float[np.ndarray, " m"]:
    """Return the probability of a right answer at new rows, never quite 0 or 1."""
    if right.all() or not right.any():
        return np.full(len(new), (right.sum() + 1) / (len(right) + 2))
    spread = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    fitted = LogisticRegression(max_iter=2000).fit((x - x.mean(axis=0)) / spread, right)
    p = fitted.predict_proba((new - x.mean(axis=0)) / spread)[:, 1]
    return np.asarray(np.clip(p, 1e-6, 1 - 1e-6))


def _report(rows: Sequence[Mapping[str, Any]], right: float, bare: float) -> Result:
    found = samples_of(
        rows, _METRICS, by=("item",), group="group", kind="kind", unit="questions",
        controls_of=_CONTROLS,
    )  # fmt: skip
    layers, value = found.axes_of["layer"].labels, found.mean("gain").value
    best = layers[int(value.argmax())]
    told = found.estimate("gain", "shuffled", {"layer": best}, f"gain at layer {best}")
    adds = bool(told.low is not None and told.low > max(0.0, told.control or 0.0))
    lead = "The state tells more" if adds else "The state tells no more"
    return study_report(
        found,
        summary=f"{lead} of a right answer than the question does: {told}, of {bare:.3g} without "
        f"it; {right:.3g} of the answers are right.",
        averages={"layers": ("layer",)},
        plots=(Plot(title="What the state adds", metrics=("gain",)),),
        notes=(Note("the layer of the summary is the best of all, and so flattered", "info",
                    "best"),),
    )  # fmt: skip
