"""Every search algorithm on the same scores."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from causal.searches.abilities import ABILITIES
from causal.searches.wrapped import Wrapped
from workbench.methods.registry import discovery
from workbench.options import option


@discovery("side-by-side", source="causal-learn: Zheng et al. 2024, JMLR 25")
@dataclass(frozen=True, kw_only=True)
class SideBySide(Wrapped):
    """Run every search algorithm on the same scores and lay their edges side by side.

    Units: stability is a share of bootstrap resamples; weights are points per point.
    """

    algorithms: ClassVar[tuple[str, ...]] = tuple(ABILITIES)
    assumption: ClassVar[str] = "each algorithm's own; see its page"

    scope: Literal["pooled", "centred", "domain", "all"] = option(
        "all", help="Rows shown: all, less the domain's mean, each domain, or all three ways."
    )
    resamples: int = option(5, help="Bootstrap resamples for stability.", low=0, high=1000)
    seconds: float = option(20.0, help="Time limit of one fit.", low=1, unit="s")
