"""Which causes does a response list, and how far is that graph from the right one?"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from workbench.sampling import conventions
from workbench.sampling.conventions import Found

Edge = tuple[str, str]
_NAME = r"[\w][\w'-]*(?: [\w][\w'-]*){0,3}"
_ARROW = r"\s*(?:-+>|→|=>|\bcauses\b)\s*"


@dataclass(frozen=True, kw_only=True)
class EdgeGrader(conventions.FindsAnswer):
    """Compare lists of causes, written `CAUSE -> EFFECT`, whatever their order.

    Where `names` are given, only edges between two of them count, in any case.
    """

    name: ClassVar[str] = "edges"
    names: tuple[str, ...] = ()

    def find(self, text: str) -> Found:
        """Return every edge in alphabetical order, joined by semicolons."""
        own = conventions.before_next_question(text)
        edges = self.edges(own)
        answer = "; ".join(f"{a} -> {b}" for a, b in sorted(edges)) if edges else None
        return Found(
            answer=answer, convention="edges", grader=self.name, is_closed=len(own) < len(text)
        )

    def is_correct(self, text: str, reference: str) -> bool:
        """Whether both list the same edges."""
        return self.edges(text) == self.edges(reference)

    def accepts(self, reference: str) -> bool:
        """Whether the reference lists an edge."""
        return bool(self.edges(reference))

    def edges(self, text: str) -> frozenset[Edge]:
        """Return the edges of a text."""
        known = {name.lower(): name for name in self.names}
        words = "|".join(re.escape(name) for name in sorted(known, key=len, reverse=True))
        one = rf"\b({words})\b" if known else f"({_NAME})"
        found = re.findall(one + _ARROW + one, text, re.IGNORECASE)
        named = ((known.get(a.lower(), a), known.get(b.lower(), b)) for a, b in found)
        return frozenset((a, b) for a, b in named if a != b)


def graph_scores(
    found: frozenset[Edge], wanted: frozenset[Edge], n_nodes: int
) -> dict[str, float | None]:
    """Return precision, recall, F1 and the structural Hamming distance, also per ordered pair.

    Errors are pairs of names whose edges differ: a turned edge is one. Precision of no edge and
    recall of none wanted are undefined; F1 of no edge is 0.

    Source: scores of ReCAST, arXiv:2505.18931; distance of Tsamardinos et al. 2006.
    """
    hits = len(found & wanted)
    wrong = {frozenset(edge) for edge in found ^ wanted}
    distance = float(len(wrong))
    both = len(found) + len(wanted)
    return {
        "precision": hits / len(found) if found else None,
        "recall": hits / len(wanted) if wanted else None,
        "f1": 2 * hits / both if both else None,
        "distance": distance,
        "distance_share": distance / (n_nodes * (n_nodes - 1)),
    }


def recall_of(found: frozenset[Edge], some: Sequence[Edge]) -> float | None:
    """Return the share of some edges that were found, None where there are none."""
    return sum(edge in found for edge in some) / len(some) if some else None
