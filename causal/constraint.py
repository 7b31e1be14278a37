"""Searches by conditional independence tests."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from causal.searches.wrapped import Wrapped
from workbench.methods.registry import discovery
from workbench.options import option

_TEST = "Independence test; auto chooses by what the columns hold."
_CATEGORIES = ("auto", "mixed", "chisq", "gsq")


@dataclass(frozen=True, kw_only=True)
class Tested(Wrapped):
    """The options of searches by independence tests."""

    test: Literal["auto", "fisherz", "mixed", "kci", "chisq", "gsq", "mv_fisherz"] = option(
        "auto", help=_TEST
    )

    @property
    def takes_categories(self) -> bool:
        """Whether the test compares unordered categories."""
        return self.test in _CATEGORIES

    @property
    def criteria(self) -> tuple[str, str]:
        """The test stands alone."""
        return self.test, "auto"


@discovery("pc", source="Spirtes, Glymour & Scheines 2000")
@dataclass(frozen=True, kw_only=True)
class PC(Tested):
    """Remove edges by conditional independence, orient colliders and their consequences.

    The graph is that of an equivalence class: it has no order, and an edge without an arrow may
    point either way.

    Units: stability is a share of bootstrap resamples.

    Source: Spirtes, Glymour & Scheines 2000, skeleton of Colombo & Maathuis 2014, missing values
    of Tu et al. 2019; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("pc",)
    assumption: ClassVar[str] = "no hidden causes, faithfulness, the test's model"

    missing: Literal["drop", "test-wise"] = option(
        "drop", help="Rows with missing cells: left out, or used by every test that can."
    )

    @property
    def keeps_missing(self) -> bool:
        """Whether rows with missing cells stay."""
        return self.missing == "test-wise"


@discovery("fci", source="Spirtes, Meek & Richardson 1995; Zhang 2008")
@dataclass(frozen=True, kw_only=True)
class FCI(Tested):
    """Search as PC does, allowing for hidden common causes.

    Units: stability is a share of bootstrap resamples.

    Source: Spirtes, Meek & Richardson 1995; Zhang 2008; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("fci",)
    assumption: ClassVar[str] = "faithfulness, the test's model; hidden causes allowed"

    test: Literal["auto", "fisherz", "mixed", "kci", "chisq", "gsq"] = option("auto", help=_TEST)


@discovery("cd-nod", source="Huang et al. 2020, JMLR 21")
@dataclass(frozen=True, kw_only=True)
class CDNOD(Tested):
    """Use the base model as a variable that changes mechanisms, and orient by what changes.

    Domains are unordered: a linear mechanism counts as changed where its intercept, slopes or
    spread differ between them, whatever they are called. A time index, which has an order and
    a smooth trend, is another method that is not offered here.

    Units: stability is a share of bootstrap resamples.

    Source: Huang et al. 2020, JMLR 21; run through causal-learn.
    """

    algorithms: ClassVar[tuple[str, ...]] = ("cd-nod",)
    assumption: ClassVar[str] = "the domain explains all hidden changes; the test's model"

    test: Literal["auto", "fisherz", "mixed", "kci", "chisq", "gsq"] = option("auto", help=_TEST)
