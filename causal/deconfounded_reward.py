"""Whether a reward read from states reads quality or what is known to have moved the outcome."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from causal.concepts.deconfound import ESTIMATORS, design, fit_rewards, planted, predicted
from workbench.errors import BadRows
from workbench.methods.contracts import Context, Example
from workbench.methods.labels import Labelled, targets
from workbench.methods.registry import probe
from workbench.methods.splits import folds, shuffled
from workbench.methods.study_report import study_report
from workbench.methods.text_vectors import text_vectors
from workbench.model.model import Model
from workbench.model.sites import Site
from workbench.options import option
from workbench.result.metric import Axis, Control, Plot, number
from workbench.result.result import Result
from workbench.result.samples import VALUE, Samples
from workbench.result.tables import columns_from

_RHOS = (0.0, 0.3, 0.6, 0.9)


def _correlation(x: Float[np.ndarray, "*axes part"]) -> Float[np.ndarray, "*axes"]:
    n, a, b, aa, bb, ab = np.moveaxis(x, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt((aa - a * a / n) * (bb - b * b / n))
        return np.asarray((ab - a * b / n) / spread)


METRICS = {
    "quality": number(
        "correlation", "Reward and outcome on held-out texts, the confounders' part out of both.",
        "estimator", of=_correlation,
    ),
    "confounder": number(
        "correlation", "Reward and what the confounders predict of the outcome.", "estimator",
        of=_correlation,
    ),
}  # fmt: skip
CONTROLS = {"shuffled": Control("shuffled outcomes", "a reward fitted to shuffled outcomes")}
_COLUMNS = columns_from("""
    rho (correlation): Of feature and confounder in the drawn rows.
    estimator: How the reward is fitted.
    slope (outcome per unit): Slope found; the true one is 1.
    limit (outcome per unit): Slope it tends to, in closed form.
""")


@probe("deconfounded-reward", source="DeconfoundLM 2025, arXiv:2506.00152; Robinson 1988")
@dataclass(frozen=True, kw_only=True)
class DeconfoundedReward:
    """Fit a linear reward on states in three ways and say what confounders still reach it.

    The label is the outcome. naive: outcome on states; outcome only: less what the confounders
    predict of it; joint: states and a part of the confounders together, cross-fitted. Rewards are
    judged on folds they were not fitted to: `quality` is the correlation with the outcome, both
    freed of what confounders predict; `confounder` that with their part of the outcome. A table of
    drawn rows shows the three slopes beside their closed forms θ + γρ, θ(1 − ρ²) and θ, θ = γ = 1.

    Units: correlations; slopes in outcome per unit.

    Raises:
        BadRows: outcomes are words of more than two kinds, or a confounder is missing.

    Source: DeconfoundLM gives the second; its reviewers found it under-specified. The third is
    Robinson 1988 with cross-fitting.
    """

    label_words: ClassVar = "outcomes"

    confounders: tuple[str, ...] = option(
        (), help="Fields that moved the outcome: numbers or words; default: the text's length."
    )
    site: Site = option(Site.parse("resid_post.-2[-1]"), help="States the reward is read from.")
    degree: int = option(2, help="Powers of numeric confounders.", low=1, high=5)
    penalty: float | None = option(
        None, help="Ridge penalty over standardised features; default: their number.", low=1e-8
    )
    n_folds: int = option(5, help="Parts the texts are split into.", low=2, high=100)

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        found = targets([Labelled.of(e) for e in examples], target="auto", n_folds=self.n_folds)
        if len(found.classes) > 2:
            raise BadRows(
                f"the labels are words of {len(found.classes)} kinds; outcomes are numbers",
                hint="name a numeric field with --label",
            )
        y = np.asarray(found.y == found.classes[1] if found.classes else found.y, dtype=np.float64)
        names = self.confounders or ("length",)
        rows = examples
        if not self.confounders:
            sizes = [len(model.tokenize(e.text).row(0)) for e in examples]
            rows = [Example(text="", fields={"length": n}) for n in sizes]
        c = design(rows, names, degree=self.degree)
        site = self.site.resolve(model.spec)
        x = text_vectors(model, [e.text for e in examples], [site], context)[site]
        fold = folds(
            found.y, found.groups, n_folds=self.n_folds, generator=context.stream("reward folds")
        )
        null = shuffled(y, found.groups, fold, generator=context.stream("shuffled outcomes"))
        values = {
            VALUE: self._judged(x, y, c, fold, y),
            "shuffled": self._judged(x, null.astype(np.float64), c, fold, y),
        }
        samples = Samples.of(
            values,
            METRICS,
            groups=np.unique(found.groups, return_inverse=True)[1],
            controls_of=CONTROLS,
            axes_of={"estimator": Axis(help="How the reward is fitted.", labels=ESTIMATORS)},
        )
        return _report(samples, names, context)

    def _judged(
        self,
        x: NDArray[np.float32],
        y: NDArray[np.float64],
        c: NDArray[np.float64],
        fold: NDArray[np.int64],
        truth: NDArray[np.float64],
    ) -> dict[str, NDArray[np.float64]]:
        """Return the sums behind both correlations, `text estimator part`."""
        reward = np.zeros((len(y), len(ESTIMATORS)))
        penalty = float(x.shape[1]) if self.penalty is None else self.penalty
        for part in np.unique(fold):
            rest, held = fold != part, fold == part
            fits = fit_rewards(
                x[rest].astype(np.float64), y[rest], c[rest], fold[rest], penalty=penalty
            )
            centre = x[rest].mean(axis=0)
            for i, name in enumerate(ESTIMATORS):
                reward[held, i] = (x[held] - centre) @ fits[name].weights
        share = predicted(c, truth[:, None], fold)[:, 0]
        free = reward - predicted(c, reward, fold)
        return {
            "quality": _sums(free, truth - share),
            "confounder": _sums(reward, share),
        }


def _sums(
    a: Float[np.ndarray, "n estimator"], b: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n estimator part"]:
    b = np.broadcast_to(b[:, None], a.shape)
    return np.stack([np.ones_like(a), a, b, a * a, b * b, a * b], axis=-1)


def _report(samples: Samples, names: Sequence[str], context: Context) -> Result:
    estimates = [
        samples.estimate(metric, "shuffled", at={"estimator": name})
        for metric in METRICS
        for name in ESTIMATORS
    ]
    draw = context.stream("planted rewards")
    rows = [
        {"rho": rho, "estimator": name, "slope": slope, "limit": limit}
        for rho in _RHOS
        for name, (slope, limit) in planted(1.0, 1.0, rho, 20_000, draw).items()
    ]
    known = {e.name: e for e in estimates}
    return study_report(
        samples,
        summary=f"Confounders ({', '.join(names)}) in the reward: {known['confounder.naive']}; "
        f"fitted jointly {known['confounder.joint']}. What is left of quality: "
        f"{known['quality.joint']}.",
        averages={"estimators": ("estimator",)},
        rows={"planted": rows},
        columns=_COLUMNS,
        plots=(
            Plot(title="Reward and outcome, confounders out", metrics=("quality",),
                 axes=("estimator",)),
            Plot(title="Reward and the confounders' part", metrics=("confounder",),
                 axes=("estimator",)),
        ),
        estimates=estimates,
    )  # fmt: skip
