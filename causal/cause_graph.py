"""Which causes does a text tell of? Texts written from a graph, edges stated or only implied."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import ClassVar

import numpy as np

from causal.worlds.invented import invented
from workbench.errors import BadOption
from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.edge_grading import EdgeGrader
from workbench.sampling.task import Problem
from workbench.sampling.tasks.verified import Verified

_STATED = ("{a} causes {b}.", "{b} is a direct effect of {a}.", "{a} acts directly on {b}.")
_IMPLIED = (
    "A team that changed {a} alone, with all else held fixed, saw {b} change at once.",
    "With everything else kept as it was, {b} moved on the day on which {a} was moved.",
    "Nothing but {a} was touched, and {b} alone answered without delay.",
)
_IDLE = (
    "Reports on {a} are often filed beside those on {b}.",
    "A team that changed {a} alone, with all else held fixed, saw {b} stay as it was.",
)


@register("task", "cause-graph", source="Saklad et al. 2025, arXiv:2505.18931")
@dataclass(frozen=True, kw_only=True)
class CauseGraph(Verified):
    """List every direct cause that a text tells of, as a graph that may have circles.

    The text is written from a drawn graph of invented names: each edge is stated with the
    probability `explicit` and otherwise implied by a trial in which one thing alone was changed;
    some sentences name pairs without an edge. Sentences stand in random order, so that the graph is
    known exactly whatever the wording. `workbench probe run cause-graphs` scores the lists.

    Source: ReCAST, in which papers' diagrams are read off long texts and a judge matches names;
    ours are short, their names are fixed and the matching is exact.
    """

    verifier: ClassVar[EdgeGrader] = EdgeGrader()
    is_chat: ClassVar[bool] = True

    nodes: int = option(6, help="Things that a text is about.", low=3, high=20)
    edges: int = option(6, help="Direct causes among them.", low=1, high=60)
    explicit: float = option(0.5, help="Share of the edges that are stated.", low=0.0, high=1.0)
    idle: int = option(2, help="Sentences that name a pair without an edge.", low=0, high=60)

    def problems(self, limit: int, generator: np.random.Generator) -> Sequence[Problem]:
        """Draw up to `limit` texts.

        Raises:
            BadOption: so few things have fewer pairs than edges and idle sentences.
        """
        pairs = list(permutations(range(self.nodes), 2))
        if self.edges + self.idle > len(pairs):
            raise BadOption(
                f"edges={self.edges}, idle={self.idle}; {self.nodes} things have "
                f"{len(pairs)} pairs",
                hint="fewer edges, or more nodes",
            )
        return [self._problem(i, pairs, generator) for i in range(limit)]

    def prompt(self, problem: Problem) -> str:
        """Return the text and how the list is written."""
        return (
            f"{problem.question}\n\nList every direct cause that this text tells of, one a line, "
            "as CAUSE -> EFFECT, and nothing else. The form is:\nRain -> Flood\nWind -> Waves"
        )

    def is_correct(self, problem: Problem, response: str) -> bool:
        """Whether a response lists exactly the edges of the text, between its names."""
        grader = EdgeGrader(names=tuple(problem.fields.get("names", ())))
        return grader.is_correct(response, problem.answer)

    def _problem(
        self, number: int, pairs: Sequence[tuple[int, int]], generator: np.random.Generator
    ) -> Problem:
        names = invented(self.nodes, generator)
        drawn = generator.permutation(len(pairs))[: self.edges + self.idle]
        named = [(names[pairs[i][0]], names[pairs[i][1]]) for i in drawn]
        edges, idle = named[: self.edges], named[self.edges :]
        is_stated = generator.random(self.edges) < self.explicit
        forms: list[Sequence[str]] = [_STATED if s else _IMPLIED for s in is_stated]
        told = list(zip([*forms, *[_IDLE] * len(idle)], named, strict=True))
        said = [_say(told[i], generator) for i in generator.permutation(len(told))]
        stated = [e for s, e in zip(is_stated, edges, strict=True) if s]
        return Problem(
            id=f"graph-{number}",
            question=f"The text is about {', '.join(names)}. {' '.join(said)}",
            answer="; ".join(f"{a} -> {b}" for a, b in sorted(edges)),
            fields={"names": names, "stated": stated,
                    "implied": [e for e in edges if e not in stated]},
        )  # fmt: skip


def _say(told: tuple[Sequence[str], tuple[str, str]], generator: np.random.Generator) -> str:
    forms, pair = told
    return forms[int(generator.integers(len(forms)))].format(a=pair[0], b=pair[1])
