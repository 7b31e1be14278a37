"""Questions about made-up classes: which of two follows from a graph of statements."""

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from workbench.errors import TooLittleData
from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.conventions import (
    LAST_STATEMENT,
    SHORT_HASH,
    Found,
    before_next_question,
    hash_line,
)
from workbench.sampling.split import Part, in_part
from workbench.sampling.task import Problem
from workbench.sampling.tasks.steps_file import step_problems

# None of these people appears in the public files, so no drawn question is a public one.
_PEOPLE = ("Ada", "Ben", "Cleo", "Dan", "Ella", "Finn", "Gwen", "Hugo", "Iris", "Jon", "Kim", "Leo")
_CLASSES = (
    *("bompus", "boompus", "brimpus", "chorpus", "dumpus", "felpus", "fompus", "gerpus"),
    *("gorpus", "grimpus", "gwompus", "hilpus", "impus", "jelpus", "jompus", "kerpus"),
    *("lempus", "lorpus", "numpus", "quimpus", "rempus", "rompus", "rorpus", "scrompus"),
    *("shumpus", "sterpus", "storpus", "terpus", "timpus", "tumpus", "vumpus", "worpus"),
    *("wumpus", "yerpus", "yimpus", "yumpus", "zhorpus", "zumpus"),
)
_ASK = 'Think step by step, then finish with "###" and the one sentence that is true.'
_TARGETS = re.compile(r"Is (\w+) an? (\w+) or (?:an? )?(\w+)\?")
_FACT = re.compile(r"\b(?:Every )?(\w+) is an? (\w+)")
_SAID = re.compile(
    r"\b(?P<every>(?i:every|each|all)\s+)?(?P<who>\w+)(?P<is>\s+is|['’]s)"
    r"(?P<no>\s+not|n['’]t|\s+neither|\s+either)?\s+(?i:an?)\s+(?P<what>\w+)"
    r"(?P<or>,?\s+(?:or|nor|and)\s+(?:(?:not|also)\s+)?(?:an?\s+)?\w+us\b)?"
)
_TRIES = 400


@register("task", "prosqa", source="Hao et al. 2024, arXiv:2412.06769")
@dataclass(frozen=True, kw_only=True)
class ProsQA:
    """Decide which of two classes somebody belongs to, by following statements from class to class.

    Without a file, graphs are drawn: two people with classes of their own and a third as a
    distractor. One target can be reached from the person asked about in exactly `hops`
    statements, the other cannot. Guessing is right half of the time.
    """

    path: str = option("", help="JSON file with question, steps and answer.")
    hops: int = option(3, help="Statements on the shortest way.", low=2, high=16)
    classes: int = option(16, help="Classes in one problem.", low=6, high=38)
    parents: int = option(2, help="Most statements that lead to one class.", low=1, high=4)
    part: Part = option("all", help="Draw from the whole, or from the part for one purpose.")
    brief: bool = option(False, help="Ask the bare question, for networks trained on it.")

    is_chat = True
    answer_lead = "###"

    def problems(self, limit: int, generator: np.random.Generator) -> Sequence[Problem]:
        """Draw or read up to `limit` problems.

        Raises:
            TooLittleData: so few classes hold no way of that many hops.
        """
        if self.path:
            return step_problems(self.path, limit)
        found: dict[str, Problem] = {}
        for _ in range(limit * _TRIES):
            if len(found) == limit:
                break
            problem = self._draw(generator)
            if problem is not None and in_part(problem.question, self.part):
                found.setdefault(problem.question, problem)
        if len(found) < limit:
            raise TooLittleData(
                f"{self.classes} classes gave {len(found)} of {limit} problems of {self.hops} hops",
                hint="more classes, fewer parents or fewer hops",
            )
        return list(found.values())

    def prompt(self, problem: Problem) -> str:
        """Return the question and, unless it is brief, the form the answer is wanted in."""
        return problem.question if self.brief else f"{problem.question} {_ASK}"

    def is_correct(self, problem: Problem, response: str) -> bool:
        """Whether the final statement follows: the person asked about, and a class in reach."""
        asked = _TARGETS.search(problem.question)
        said = _FACT.search(self.extract(response) or "")
        if asked is None or said is None or said[1].lower() != asked[1].lower():
            return False
        named = said[2].lower()
        # What follows is looked up in the statements, not in the reference answer.
        return named in asked.groups()[1:] and _reaches(problem.question, asked[1], named)

    def extract(self, response: str) -> str | None:
        """Return the statement that `find` reads."""
        return self.find(response).answer

    def find(self, response: str) -> Found:
        """Return the last statement about somebody, on the line of the first ### if there is one.

        A statement that is denied, or that names two classes, leaves the answer open.
        """
        own = before_next_question(response)
        line = hash_line(own, "###") or hash_line(own)
        text, line_ends = line or (own, False)
        said = [m for m in _SAID.finditer(text) if not m["every"] and (line or m[0][0].isupper())]
        answer = None
        if said and not said[-1]["no"] and not said[-1]["or"]:
            answer = f"{said[-1]['who']} is a {said[-1]['what']}."
        return Found(
            answer=answer,
            convention=SHORT_HASH if line else LAST_STATEMENT,
            grader="statement",
            is_closed=line_ends or len(own) < len(response),
        )

    def choices(self, problem: Problem) -> Sequence[str]:
        """Return the two statements to choose from."""
        asked = _TARGETS.search(problem.question)
        return () if asked is None else tuple(f"{asked[1]} is a {c}." for c in asked.groups()[1:])

    def _draw(self, generator: np.random.Generator) -> Problem | None:
        asked, other, third = (str(p) for p in generator.choice(_PEOPLE, 3, replace=False))
        names = [str(c) for c in generator.choice(_CLASSES, self.classes, replace=False)]
        mine, theirs = names[::2], names[1::2]
        edges = _grow(asked, mine, self.parents, generator)
        edges += _grow(other, theirs, self.parents, generator)
        edges += [(third, str(generator.choice(names)))]
        way = _at_distance(edges, asked, self.hops, generator)
        wrong = _at_distance(edges, other, self.hops, generator)
        if not way or not wrong:
            return None
        lines = [_say(*edges[i]) for i in generator.permutation(len(edges))]
        pair = [way[-1], wrong[-1]]
        first, second = (pair[i] for i in generator.permutation(2))
        question = f"{' '.join(lines)} Is {asked} a {first} or {second}?"
        return Problem(
            id=f"prosqa-{abs(int(generator.integers(2**62))):x}",
            question=question,
            answer=f"{asked} is a {way[-1]}.",
            steps=tuple(_say(a, b) for a, b in pairwise(way)),
        )


def _grow(
    root: str, names: Sequence[str], parents: int, generator: np.random.Generator
) -> list[tuple[str, str]]:
    """Hang each class below one or more of the last few before it, so that ways get long."""
    above, edges = [root], []
    for name in names:
        recent = above[-3:]
        n = min(len(recent), int(generator.integers(1, parents + 1)))
        edges += [(str(p), name) for p in generator.choice(recent, n, replace=False)]
        above.append(name)
    return edges


def _say(below: str, above: str) -> str:
    return f"{below} is a {above}." if below[0].isupper() else f"Every {below} is a {above}."


def _ways(edges: Sequence[tuple[str, str]], root: str) -> dict[str, list[str]]:
    """Return a shortest way from the root to everything in its reach."""
    onward: dict[str, list[str]] = {}
    for below, above in edges:
        onward.setdefault(below, []).append(above)
    ways, queue = {root: [root]}, deque([root])
    while queue:
        at = queue.popleft()
        for above in onward.get(at, ()):
            if above not in ways:
                ways[above] = [*ways[at], above]
                queue.append(above)
    return ways


def _at_distance(
    edges: Sequence[tuple[str, str]], root: str, hops: int, generator: np.random.Generator
) -> list[str]:
    ways: Mapping[str, list[str]] = _ways(edges, root)
    fit = [way for way in ways.values() if len(way) == hops + 1]
    return fit[int(generator.integers(len(fit)))] if fit else []


def _reaches(question: str, person: str, target: str) -> bool:
    facts = _FACT.findall(question.rsplit("Is ", 1)[0])
    return target in _ways(facts, person)
