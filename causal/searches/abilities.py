"""What each search algorithm takes, and what its graph can be held to."""

from dataclasses import dataclass
from typing import Any, Literal

GraphKind = Literal["CPDAG", "PAG", "DAG", "latent"]
Known = Literal["required", "forbidden", "tiers"]

LINEAR_TESTS = ("fisherz", "mixed")
ALL_TESTS = (*LINEAR_TESTS, "kci", "chisq", "gsq")
DISCRETE_TESTS = ("chisq", "gsq")
SCORES = ("bic", "bdeu", "cv-general", "marginal-general")
ALL_KNOWN: tuple[Known, ...] = ("required", "forbidden", "tiers")


@dataclass(frozen=True, kw_only=True)
class Ability:
    """What an algorithm yields and takes.

    `graph` is what it returns: an equivalence class of acyclic graphs without hidden causes
    (CPDAG) or with them (PAG), one acyclic graph (DAG), or a graph with latent variables.
    `order` says whether it orders the variables, `effects` whether its edges have sizes.
    """

    graph: GraphKind
    order: bool = False
    effects: bool = False
    tests: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    known: tuple[Known, ...] = ()
    missing: bool = False

    def claims(self) -> dict[str, Any]:
        """Return what refuters may hold a graph to, as plain values."""
        return {"graph": self.graph, "order": self.order, "effects": self.effects}


ABILITIES: dict[str, Ability] = {
    "pc": Ability(graph="CPDAG", tests=(*ALL_TESTS, "mv_fisherz"), known=ALL_KNOWN, missing=True),
    "fci": Ability(graph="PAG", tests=ALL_TESTS, known=("required",)),
    "cd-nod": Ability(graph="CPDAG", tests=ALL_TESTS, known=ALL_KNOWN),
    "ges": Ability(graph="CPDAG", scores=SCORES),
    "exact-search": Ability(graph="CPDAG", scores=("bic",), known=ALL_KNOWN),
    "grasp": Ability(graph="CPDAG", scores=SCORES),
    "boss": Ability(graph="CPDAG", scores=SCORES),
    "direct-lingam": Ability(graph="DAG", order=True, effects=True, known=ALL_KNOWN),
    "ica-lingam": Ability(graph="DAG", order=True, effects=True),
    "gin": Ability(graph="latent"),
    "rlcd": Ability(graph="latent"),
}
