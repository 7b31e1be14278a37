"""The risk of a linear head against its number of features: made-up ones and a model's states."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from probes.beliefs.risk import exact_risk, head, limit_risk, simulated_risk
from probes.beliefs.symbols import read_states, symbol_rows
from workbench.errors import BadOption, TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.methods.study_report import study_report
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.options import option
from workbench.result.metric import Axis, Control, Plot, number
from workbench.result.result import Note, Result
from workbench.result.samples import VALUE, Samples
from workbench.result.tables import columns_from
from workbench.sampling.processes.sequences import open_sequences

_DEFAULT = 100
_AXES = ("ratio",)
_METRICS = {
    "simulated": number(
        "squared error", "Excess risk of the minimum-norm fit, Gaussian features.", *_AXES
    ),
    "states": number(
        "proportion", "Held-out squared error on the model's states over that of the mean.", *_AXES
    ),
}
_CONTROLS = {
    "ridge": Control("ridge", "the same with a ridge penalty, which removes the peak"),
    "shuffled": Control("shuffled beliefs", "states of one place with beliefs of another"),
}
_COLUMNS = columns_from("""
    ratio: Features over examples, γ = p/n.
    p (features): Features of the head.
    simulated (squared error): Mean excess risk over draws.
    standard_error (squared error): Of that mean.
    closed_form (squared error): Its exact mean; empty where there is none.
    many_examples (squared error): The closed form for many examples.
    z (standard errors): Simulated less closed form.
""")


@probe("head-tuning", source="arXiv:2410.00699; Hastie et al. 2022, arXiv:1903.08560")
@dataclass(frozen=True, kw_only=True)
class HeadTuning:
    """Follow the risk of a linear head as its features grow: it peaks where they equal examples.

    A head is fitted to `examples` symbols without a penalty (minimum norm), once on isotropic
    Gaussian features with a target of known noise, where the excess risk has a closed form, and
    once on random directions of the model's states with the exact belief as its target, scored on
    other sequences. Controls: ridge, which removes the peak, and beliefs of other places.

    Units: squared error, with signal r² and noise σ² of the options; on states, the share of the
    error of the mean. n counts draws.

    Raises:
        BadOption: a ratio is no positive number.
        TooLittleData: fewer symbols than examples.

    Source: arXiv:2410.00699, head tuning; closed form after Hastie et al. 2022, arXiv:1903.08560.
    We differ: the mean at finite n, beside the limit for many examples.
    """

    default_task: ClassVar[str] = "hidden-markov?kind=mess3"

    ratios: str = option("0.2,0.5,0.8,0.9,1,1.1,1.25,2,4", help="Features over examples, γ.")
    examples: int = option(60, help="Examples a head is fitted to, n.", low=4, high=10_000)
    draws: int = option(200, help="Draws at each ratio.", low=3, high=100_000)
    noise: float = option(0.5, help="Standard deviation σ of the target's noise.", low=0, high=1e3)
    signal: float = option(1.0, help="Length r of the true weights.", low=0, high=1e3)
    penalty: float = option(0.1, help="Ridge penalty of the control.", low=1e-9, high=1e6)
    layer: int | None = option(None, help="Layer of the states; default: the last one.")

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        ratios = self._ratios()
        sizes = [max(1, round(ratio * self.examples)) for ratio in ratios]
        x, y, owner = self._states(model, context)
        values: dict[str, dict[str, NDArray[np.float64]]] = {
            VALUE: {"simulated": self._simulated(sizes, 0.0, context),
                    "states": np.full((self.draws, len(sizes)), np.nan)},
            "ridge": {"simulated": self._simulated(sizes, self.penalty, context),
                      "states": np.full((self.draws, len(sizes)), np.nan)},
            "shuffled": {"states": np.full((self.draws, len(sizes)), np.nan)},
        }  # fmt: skip
        for i in range(self.draws):
            draw = context.stream(f"head {i}")
            for j, p in enumerate(sizes):
                for kind, risk in self._of_states(x, y, owner, p, draw).items():
                    values[kind]["states"][i, j] = risk
            context.progress(i + 1, self.draws, "heads fitted")
        samples = Samples.of(
            values,
            _METRICS,
            unit="draws",
            controls_of=_CONTROLS,
            axes_of={"ratio": Axis(help="Features over examples, γ.", labels=tuple(ratios))},
        )
        return self._report(samples, values[VALUE]["simulated"], ratios, sizes)

    def _ratios(self) -> list[float]:
        try:
            found = [float(part) for part in self.ratios.split(",")]
        except ValueError:
            found = []
        if not found or not all(0 < ratio <= 100 for ratio in found):
            raise BadOption(
                f"ratios is {self.ratios!r}; expected numbers above 0 and up to 100",
                hint="0.2,0.5,1,2",
            )
        return sorted(set(found))

    def _states(
        self, model: Model, context: Context
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Return states and beliefs, both around their means, and the sequence of each."""
        task = open_sequences(context.task or self.default_task)
        problems = task.problems(context.limit or _DEFAULT, context.stream("problems"))
        rows = symbol_rows(model, sorted(p.question for p in problems), task.process())
        layer = model.spec.n_layers - 1 if self.layer is None else self.layer
        site = Site(Kind.RESID_POST, layer).resolve(model.spec)
        read = read_states(model, rows, [site], context)
        y = np.concatenate([row.exact.beliefs[0, 1:] for row in rows])
        x = read.states[site].astype(np.float64)
        spread = x.std(axis=0)
        half = int((read.owner < len(rows) // 2).sum())
        if half < self.examples or half == len(x):
            raise TooLittleData(
                f"half of the sequences hold {half} symbols; expected {self.examples}",
                hint="raise --limit, or lower --examples",
            )
        scaled = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        return scaled, y - y.mean(axis=0), read.owner

    def _simulated(
        self, sizes: Sequence[int], penalty: float, context: Context
    ) -> Float[np.ndarray, "draw ratio"]:
        found = np.empty((self.draws, len(sizes)))
        for i in range(self.draws):
            for j, p in enumerate(sizes):
                found[i, j] = simulated_risk(
                    p, self.examples, noise=self.noise, signal=self.signal, penalty=penalty,
                    generator=context.stream(f"risk {i} {p}"),
                )  # fmt: skip
        return found

    def _of_states(
        self,
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        owner: NDArray[np.int64],
        p: int,
        draw: np.random.Generator,
    ) -> Mapping[str, float]:
        """Return the held-out error of one draw over that of the mean, by kind.

        Features are random directions through a ramp, so that there may be more than the width.
        """
        is_first = owner < (owner.max() + 1) // 2
        train, test = np.flatnonzero(is_first), np.flatnonzero(~is_first)
        some = draw.choice(train, self.examples, replace=False)
        mix = draw.standard_normal((x.shape[1], p)) / np.sqrt(x.shape[1])
        seen, held = (np.maximum(x[rows] @ mix, 0) for rows in (some, test))
        whole = (y[test] ** 2).sum()
        goals = {VALUE: (y[some], 0.0), "ridge": (y[some], self.penalty),
                 "shuffled": (y[draw.permutation(some)], 0.0)}  # fmt: skip
        return {
            kind: float(((held @ head(seen, goal, penalty) - y[test]) ** 2).sum() / whole)
            for kind, (goal, penalty) in goals.items()
        }

    def _report(
        self,
        samples: Samples,
        simulated: Float[np.ndarray, "draw ratio"],
        ratios: Sequence[float],
        sizes: Sequence[int],
    ) -> Result:
        rows = [
            self._row(ratio, p, x) for ratio, p, x in zip(ratios, sizes, simulated.T, strict=True)
        ]
        apart = [abs(row["z"]) for row in rows if row["z"] is not None]
        peak = ratios[int(np.argmax(samples.mean("states").value))]
        worst = f"{max(apart):.2f}" if apart else "nowhere comparable, in"
        known = [samples.estimate("states", "ridge", at={"ratio": ratio}) for ratio in ratios]
        return study_report(
            samples,
            summary=f"Simulated risk is at most {worst} standard errors from the closed form over "
            f"{len(apart)} ratios; on the model's states the error is highest at γ = {peak:g}: "
            f"{known[ratios.index(peak)]}.",
            averages={"risk": _AXES},
            rows={"closed_form": rows},
            columns=_COLUMNS,
            plots=(
                Plot(title="Risk of Gaussian features", metrics=("simulated",), axes=_AXES,
                     log_y=True),
                Plot(title="Error on the model's states", metrics=("states",), axes=_AXES,
                     log_y=True),
            ),
            estimates=known,
            notes=[Note("at γ = 1 the mean risk does not exist: draws differ without bound")]
            if any(row["closed_form"] is None for row in rows)
            else [],
        )  # fmt: skip

    def _row(self, ratio: float, p: int, risks: Float[np.ndarray, " draw"]) -> dict[str, Any]:
        known = {"noise": self.noise, "signal": self.signal}
        exact, many = exact_risk(p, self.examples, **known), limit_risk(ratio, **known)
        mean, error = float(risks.mean()), float(risks.std(ddof=1) / len(risks) ** 0.5)
        is_known = np.isfinite(exact) and error > 0
        return {
            "ratio": ratio,
            "p": p,
            "simulated": mean,
            "standard_error": error,
            "closed_form": exact if np.isfinite(exact) else None,
            "many_examples": many if np.isfinite(many) else None,
            "z": (mean - exact) / error if is_known else None,
        }
