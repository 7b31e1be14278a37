"""How much longer the first token's vector is than the others'."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.intervals import mean_estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Curve


@probe("first-token-norm", source="Xiao et al. 2023, arXiv:2309.17453, on attention sinks")
@dataclass(frozen=True, kw_only=True)
class FirstTokenNorm:
    """Compare the length of the first token's vector with that of the others, layer by layer.

    For each text, the norm at position 0 over the mean norm at all later positions. The control
    is the same ratio for a later position drawn at random.

    Units: the ratio is unitless. Intervals resample texts.

    Raises:
        TooLittleData: no text holds three tokens.
    """

    where: Literal["resid_post", "resid_mid", "mlp_out", "attn_out"] = option(
        "resid_post", help="Which activation of each layer to measure."
    )
    layers: tuple[int, ...] = option((), help="Layers to measure; all when empty.")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        every = every_layer(Kind(self.where), spec)
        chosen = tuple(Site(Kind(self.where), layer).resolve(spec) for layer in self.layers)
        return chosen or every

    def start(self, context: Context) -> "FirstTokenAccumulator":
        return FirstTokenAccumulator(context)


class FirstTokenAccumulator:
    """One ratio and one control per text and layer."""

    def __init__(self, context: Context) -> None:
        self._draw = context.stream("first-token control")
        self._sites: tuple[Site, ...] = ()
        self._ratios: list[list[float]] = []
        self._controls: list[list[float]] = []

    def add(self, trace: Trace, examples: Sequence[Example]) -> None:
        self._sites = tuple(trace.activations)
        for i, length in enumerate(trace.tokens.lengths):
            if length < 3:
                continue
            other = int(self._draw.integers(1, length))
            norms = [trace.row(i, site).float().norm(dim=-1).cpu().numpy() for site in self._sites]
            self._ratios.append([_ratio(n, 0) for n in norms])
            self._controls.append([_ratio(n, other) for n in norms])

    def state(self) -> dict[str, NDArray[Any]]:
        return {
            "ratios": np.array(self._ratios),
            "controls": np.array(self._controls),
            "sites": np.array([str(site) for site in self._sites]),
        }

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._ratios += state["ratios"].tolist()
        self._controls += state["controls"].tolist()
        self._sites = self._sites or tuple(Site.parse(str(site)) for site in state["sites"])

    def result(self, context: Context) -> Result:
        if not self._ratios:
            raise TooLittleData("no text holds three tokens", hint="give longer texts")
        ratios, controls = np.array(self._ratios), np.array(self._controls)
        estimates = [
            mean_estimate(
                f"first_token_ratio.{site}",
                ratios[:, i],
                unit="ratio",
            )
            for i, site in enumerate(self._sites)
        ]
        rows = [
            {
                "layer": site.layer,
                "ratio": e.value,
                "ratio_low": e.low,
                "ratio_high": e.high,
                "ratio_control": float(controls[:, i].mean()),
            }
            for i, (site, e) in enumerate(zip(self._sites, estimates, strict=True))
        ]
        largest = max(estimates, key=lambda e: e.value or 0.0)
        few = (Note("one text: no intervals", "warning", "few-texts"),) if len(ratios) < 2 else ()
        return Result(
            summary=f"Largest: {largest}; a random later token has a ratio near 1.",
            estimates=tuple(estimates),
            tables={"layers": Table.from_rows(rows, _COLUMNS)},
            notes=few,
            views=(
                Curve(
                    title="First token against the others",
                    table="layers",
                    x="layer",
                    y=("ratio",),
                    control=("ratio_control",),
                ),
            ),
        )


_COLUMNS = {
    "layer": Column(help="Layer, counted from 0."),
    "ratio": Column(
        unit="ratio",
        help="Norm of the first token over the mean norm of the others.",
        low="ratio_low",
        high="ratio_high",
    ),
    "ratio_control": Column(unit="ratio", help="The same for a random later token."),
}


def _ratio(norms: Float[np.ndarray, " pos"], position: int) -> float:
    others = np.delete(norms[1:], position - 1) if position else norms[1:]
    return float(norms[position] / others.mean())
