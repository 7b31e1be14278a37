"""A covariate of every token beside what another probe measures there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from workbench.errors import BadOption
from workbench.methods.contracts import Context, Example
from workbench.methods.per_unit import PerUnit
from workbench.methods.registry import plugins
from workbench.model.sites import Site
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.options import build

_LEAST = 3


@dataclass(frozen=True, kw_only=True)
class OtherMetric:
    """A metric that another probe gives at each token, with or without layers."""

    probe: PerUnit
    metric: str

    @classmethod
    def parse(cls, told: str, context: Context) -> "OtherMetric":
        """Read `PROBE METRIC`, such as `token-trace surprisal`.

        Raises:
            BadOption: no probe measures that at every token.
        """
        name, _, metric = told.strip().partition(" ")
        named = [p.recipe for p in plugins("probe") if p.name == name]
        recipe: type[PerUnit] | None = next((r for r in named if issubclass(r, PerUnit)), None)
        known = recipe.metrics if recipe else {}
        here = [m for m, x in known.items() if set(x.axes) in ({"position"}, {"layer", "position"})]
        if recipe is None or metric not in here:
            raise BadOption(
                f"{told!r} is no metric of every token; {name} has {', '.join(here) or 'none'}",
                hint="such as token-trace surprisal, or acceptance exit",
            )
        probe: PerUnit = build(recipe, dict(recipe.every_token))
        return cls(probe=probe.loaded(context), metric=metric)

    @property
    def has_layers(self) -> bool:
        """Whether it is measured at every layer."""
        return "layer" in self.probe.metrics[self.metric].axes

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        """Return the sites that it reads."""
        return self.probe.sites(spec)

    def correlations(
        self,
        trace: Trace,
        examples: Sequence[Example],
        context: Context,
        covariate: Float[np.ndarray, "text pos"],
    ) -> Float[np.ndarray, "text layer"]:
        """Return Spearman's ρ with the covariate over the tokens of each text, layer by layer.

        Tokens without one of the two are left out; without layers there is one column.
        """
        sites = self.sites(trace.spec)
        if any(site not in trace.activations for site in sites):
            trace = context.rerun(trace.tokens, read=sites)
        x = np.asarray(self.probe.measure(trace, examples, context).values[self.metric])
        x = x if self.has_layers else x[:, None]
        return np.array(
            [[rank_correlation(row, own) for row in rows]
             for rows, own in zip(x, covariate, strict=True)]
        )  # fmt: skip


def rank_correlation(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Return Spearman's ρ of two rows, NaN where one of them does not vary."""
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < _LEAST:
        return float("nan")
    from scipy.stats import rankdata

    a, b = (rankdata(z[both]) - (both.sum() + 1) / 2 for z in (x, y))
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size else float("nan")
