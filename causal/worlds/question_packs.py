"""Premises of correlations, each with many questions: what a network learns the task from."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations, product

import numpy as np

from causal.worlds.correlation_items import draw_names, question
from causal.worlds.correlation_text import BRIEF, OWN, RELEASED, premise
from causal.worlds.dags import Dag, Pattern, Separation, bits, from_edges, is_acyclic, separations
from causal.worlds.relations import RELATIONS, share
from workbench.errors import BadOption
from workbench.sampling.items import Item

_FORMS = {"own": OWN, "released": RELEASED, "brief": BRIEF}
_MOST = 4
_FOLDS = 10


@dataclass(frozen=True, kw_only=True)
class World:
    """A Markov equivalence class of named nodes: its separations, and what each question has."""

    separations: tuple[Separation, ...]
    entailed: Mapping[tuple[str, int, int], bool]


@dataclass(frozen=True, kw_only=True)
class Pack:
    """A premise with the ends of its questions, each with whether the answer is yes."""

    premise: str
    questions: tuple[str, ...]
    answers: tuple[bool, ...]

    def items(self, group: str) -> list[Item]:
        """Return the questions one by one."""
        return [
            Item(
                id=f"{group}-{i}",
                task="corr2cause",
                family="premise",
                prompt=self.premise + end,
                gold=int(not is_yes),
                group=group,
                template=re.sub(r"\b[A-Z]\b", "", end),
            )
            for i, (end, is_yes) in enumerate(zip(self.questions, self.answers, strict=True))
        ]


@lru_cache(maxsize=4)
def worlds(n: int) -> tuple[World, ...]:
    """Return every class on n named nodes: 3, 11 and 185 for two to four.

    Raises:
        BadOption: more than four nodes, whose 8,782 classes take minutes.
    """
    if n > _MOST:
        raise BadOption(f"nodes={n}; a network learns from {_MOST} at most", hint="nodes=4")
    pairs = list(combinations(range(n), 2))
    found: dict[Pattern, Dag] = {}
    for turns in product((0, 1, -1), repeat=len(pairs)):
        both = zip(pairs, turns, strict=True)
        kept = tuple((a, b) if turn > 0 else (b, a) for (a, b), turn in both if turn)
        dag = from_edges(n, kept)
        if is_acyclic(dag):
            found.setdefault(Pattern.of(dag), dag)
    return tuple(_world(pattern, dag) for pattern, dag in found.items())


def _world(pattern: Pattern, dag: Dag) -> World:
    told = sorted(separations(dag), key=lambda s: (s[:2], s[2].bit_count(), s[2]))
    members = pattern.members()
    entailed = {
        (relation, x, y): share(members, relation, x, y) == 1
        for relation in RELATIONS
        for x, y in permutations(range(pattern.n), 2)
    }
    return World(separations=tuple(told), entailed=entailed)


@dataclass(frozen=True, kw_only=True)
class PackSource:
    """Draws premises with `asked` questions each; half of these are answered yes where possible.

    A tenth of all premises, told by what they say and not by the order of names, is held out.
    """

    nodes: int
    letters: int
    wording: str
    asked: int

    def draw(self, n: int, generator: np.random.Generator, *, held_out: bool) -> list[Pack]:
        """Draw n premises of one part with their questions."""
        found: list[Pack] = []
        classes = worlds(self.nodes)
        while len(found) < n:
            world = classes[generator.integers(len(classes))]
            names = draw_names(self.nodes, self.letters, generator)
            if is_held_out(names, world.separations) is held_out:
                found.append(self._pack(world, names, generator))
        return found

    def texts(self) -> list[str]:
        """Return texts that hold every word of any question."""
        names = [chr(ord("A") + i) for i in range(self.letters)]
        forms = _FORMS[self.wording].values()
        ends = [form.format(x=x, y=y) for form in forms for x in names for y in names]
        told = [premise(names[: self.nodes], w.separations, wording=self.wording)
                for w in worlds(self.nodes)]  # fmt: skip
        return [question(" ".join(told), " ".join(ends), self.wording), ", ".join(names)]

    def _pack(self, world: World, names: tuple[str, ...], generator: np.random.Generator) -> Pack:
        keys = list(world.entailed)
        order = [keys[i] for i in generator.permutation(len(keys))]
        yes = [k for k in order if world.entailed[k]][: self.asked // 2]
        no = [k for k in order if not world.entailed[k]][: self.asked - len(yes)]
        told = premise(names, world.separations, wording=self.wording)
        forms = _FORMS[self.wording]
        ends = [
            question("", forms[relation].format(x=names[x], y=names[y]), self.wording)
            for relation, x, y in (*yes, *no)
        ]
        return Pack(
            premise=told,
            questions=tuple(ends),
            answers=(True,) * len(yes) + (False,) * len(no),
        )


def is_held_out(names: tuple[str, ...], found: tuple[Separation, ...]) -> bool:
    """Whether a premise belongs to the part that is never learned from."""
    told = sorted(
        (*sorted((names[x], names[y])), *sorted(names[v] for v in bits(z))) for x, y, z in found
    )
    key = hashlib.sha256(repr((sorted(names), told)).encode()).digest()
    return key[0] % _FOLDS == 0
