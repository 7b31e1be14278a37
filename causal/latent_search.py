"""Searches for hidden variables over the scores."""

from dataclasses import dataclass
from typing import ClassVar

from causal.searches.wrapped import Wrapped
from workbench.methods.registry import discovery


@discovery("gin", source="Xie et al. 2020, arXiv:2010.04917")
@dataclass(frozen=True, kw_only=True)
class GIN(Wrapped):
    """Cluster scores under latent causes by generalised independent noise, and order those.

    Units: stability is a share of bootstrap resamples.

    Source: Xie et al. 2020, arXiv:2010.04917; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("gin",)
    assumption: ClassVar[str] = "linear non-Gaussian latents, at least two pure children each"


@discovery("rlcd", source="Dong et al. 2023, arXiv:2312.11001")
@dataclass(frozen=True, kw_only=True)
class RLCD(Wrapped):
    """Find latent hierarchies by ranks of covariance blocks.

    Units: stability is a share of bootstrap resamples.

    Source: Dong et al. 2023, arXiv:2312.11001; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("rlcd",)
    assumption: ClassVar[str] = "linear effects, rank faithfulness"
