"""Searches that maximise a score over graphs."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from causal.searches.wrapped import Wrapped
from workbench.methods.registry import discovery
from workbench.options import option


@dataclass(frozen=True, kw_only=True)
class Scored(Wrapped):
    """The options of searches that maximise a score."""

    assumption: ClassVar[str] = "no hidden causes, the score's model"

    score: Literal["auto", "bic", "bdeu", "cv-general", "marginal-general"] = option(
        "auto", help="Score of a graph; auto chooses by what the columns hold."
    )

    @property
    def criteria(self) -> tuple[str, str]:
        """The score stands alone."""
        return "auto", self.score


@discovery("ges", source="Chickering 2002")
@dataclass(frozen=True, kw_only=True)
class GES(Scored):
    """Add, then remove edges greedily while the BIC score of the equivalence class grows.

    Units: stability is a share of bootstrap resamples.

    Source: Chickering 2002; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("ges",)


@discovery("grasp", source="Lam, Andrews & Ramsey 2022")
@dataclass(frozen=True, kw_only=True)
class GRaSP(Scored):
    """Relax permutations of the variables towards the sparsest graph.

    Units: stability is a share of bootstrap resamples.

    Source: Lam, Andrews & Ramsey 2022; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("grasp",)


@discovery("boss", source="Andrews et al. 2023")
@dataclass(frozen=True, kw_only=True)
class BOSS(Scored):
    """Search for the best order of the variables, growing and shrinking parents.

    The search starts from several orders and keeps the graph with the best score.

    Units: stability is a share of bootstrap resamples.

    Source: Andrews et al. 2023; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("boss",)


@discovery("exact-search", source="Yuan & Malone 2013")
@dataclass(frozen=True, kw_only=True)
class ExactSearch(Wrapped):
    """Find the equivalence class of the acyclic graph with the best BIC score by A* search.

    Units: stability is a share of bootstrap resamples.

    Source: Yuan & Malone 2013; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("exact-search",)
    assumption: ClassVar[str] = "no hidden causes, linear Gaussian score"
