"""Searches by conditional independence tests."""

from dataclasses import dataclass
from typing import ClassVar

from causal.searches.wrapped import Wrapped
from workbench.methods.registry import discovery


@discovery("pc", source="Spirtes, Glymour & Scheines 2000")
@dataclass(frozen=True, kw_only=True)
class PC(Wrapped):
    """Remove edges by conditional independence, orient colliders and their consequences.

    Units: stability is a share of bootstrap resamples.

    Source: Spirtes, Glymour & Scheines 2000; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("pc",)
    assumption: ClassVar[str] = "no hidden causes, faithfulness, linear Gaussian tests"


@discovery("fci", source="Spirtes, Meek & Richardson 1995; Zhang 2008")
@dataclass(frozen=True, kw_only=True)
class FCI(Wrapped):
    """Search as PC does, allowing for hidden common causes.

    Units: stability is a share of bootstrap resamples.

    Source: Spirtes, Meek & Richardson 1995; Zhang 2008; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("fci",)
    assumption: ClassVar[str] = "faithfulness, linear Gaussian tests; hidden causes allowed"


@discovery("cd-nod", source="Huang et al. 2020, JMLR 21")
@dataclass(frozen=True, kw_only=True)
class CDNOD(Wrapped):
    """Use the base model as a variable that changes mechanisms, and orient by what changes.

    Units: stability is a share of bootstrap resamples.

    Source: Huang et al. 2020, JMLR 21; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("cd-nod",)
    assumption: ClassVar[str] = "the domain explains all hidden changes; linear Gaussian tests"
