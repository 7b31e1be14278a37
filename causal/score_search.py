"""Searches that maximise a score over graphs."""

from dataclasses import dataclass
from typing import ClassVar

from causal.searches.wrapped import Wrapped
from workbench.methods.registry import discovery


@discovery("ges", source="Chickering 2002")
@dataclass(frozen=True, kw_only=True)
class GES(Wrapped):
    """Add, then remove edges greedily while the BIC score of the equivalence class grows.

    Units: stability is a share of bootstrap resamples.

    Source: Chickering 2002; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("ges",)
    assumption: ClassVar[str] = "no hidden causes, linear Gaussian score"


@discovery("grasp", source="Lam, Andrews & Ramsey 2022")
@dataclass(frozen=True, kw_only=True)
class GRaSP(Wrapped):
    """Relax permutations of the variables towards the sparsest graph.

    Units: stability is a share of bootstrap resamples.

    Source: Lam, Andrews & Ramsey 2022; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("grasp",)
    assumption: ClassVar[str] = "no hidden causes, linear Gaussian score"


@discovery("boss", source="Andrews et al. 2023")
@dataclass(frozen=True, kw_only=True)
class BOSS(Wrapped):
    """Search for the best order of the variables, growing and shrinking parents.

    Units: stability is a share of bootstrap resamples.

    Source: Andrews et al. 2023; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("boss",)
    assumption: ClassVar[str] = "no hidden causes, linear Gaussian score"


@discovery("exact-search", source="Yuan & Malone 2013")
@dataclass(frozen=True, kw_only=True)
class ExactSearch(Wrapped):
    """Find the directed acyclic graph with the best BIC score by A* search.

    Units: stability is a share of bootstrap resamples.

    Source: Yuan & Malone 2013; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("exact-search",)
    assumption: ClassVar[str] = (
        "no hidden causes, linear Gaussian score; one member of an equivalence class"
    )
