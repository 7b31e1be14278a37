"""Linear non-Gaussian models, which orient every edge if their assumption holds."""

from dataclasses import dataclass
from typing import ClassVar

from causal.searches.wrapped import Wrapped
from workbench.methods.registry import discovery


@discovery("direct-lingam", source="Shimizu et al. 2011, JMLR 12")
@dataclass(frozen=True, kw_only=True)
class DirectLiNGAM(Wrapped):
    """Order variables by the independence of regression residuals.

    Columns are standardised first, so their units change nothing; effects are given back in them.

    Units: stability is a share of bootstrap resamples; weights are points per point.

    Source: Shimizu et al. 2011, JMLR 12; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("direct-lingam",)
    assumption: ClassVar[str] = "linear effects, independent non-Gaussian noises, no hidden causes"


@discovery("ica-lingam", source="Shimizu et al. 2006, JMLR 7")
@dataclass(frozen=True, kw_only=True)
class ICALiNGAM(Wrapped):
    """Order variables by independent component analysis.

    Columns are standardised first, so their units change nothing; effects are given back in them.

    Units: stability is a share of bootstrap resamples; weights are points per point.

    Source: Shimizu et al. 2006, JMLR 7; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("ica-lingam",)
    assumption: ClassVar[str] = "linear effects, independent non-Gaussian noises, no hidden causes"
