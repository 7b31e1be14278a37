"""Where speculative drafts come from: a second model, the first layers of the model, a table."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from reasoning.policy_speculative import Drafted
from workbench.errors import BadOption
from workbench.model.fewer_layers import with_layers
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.model.policy import Host, Sampling
from workbench.model.row_run import RowRun


@dataclass(frozen=True, kw_only=True)
class ModelDraft:
    """Draw `paths` independent continuations from a second model with the same vocabulary.

    Without `model` the drafts come from the first `layers` layers of the model itself, read out
    by its final norm and head.

    Raises:
        BadOption: the vocabularies differ, or a setting is out of bounds.
    """

    model: Model | None = None
    layers: int = 0
    paths: int = 1

    def __post_init__(self) -> None:
        """Refuse settings out of bounds."""
        if self.paths < 1:
            raise BadOption(f"paths is {self.paths}; expected at least 1")
        if self.model is None and self.layers < 1:
            raise BadOption(f"layers is {self.layers}; expected at least 1, or a second model")

    def begin(self, model: Host, base: Sampling) -> "_ModelDrafter":
        draft = self.model
        if draft is None:
            draft = with_layers(model, range(self.layers))
        if draft.spec.d_vocab != model.spec.d_vocab:
            raise BadOption(
                f"{draft.spec.name} has {draft.spec.d_vocab} tokens and {model.spec.name} "
                f"{model.spec.d_vocab}; expected the same vocabulary"
            )
        # Copies of a greedy path are all the same.
        return _ModelDrafter(draft, base, self.paths if base.temperature else 1)


class _ModelDrafter:
    def __init__(self, model: Host, base: Sampling, paths: int) -> None:
        self._run, self._base, self._paths = RowRun(model), base, paths

    def propose(self, ids: Sequence[int], length: int, generator: torch.Generator) -> Drafted:
        """Draw every path token by token."""
        empty = torch.zeros((self._paths, 0), dtype=torch.long)
        if length < 1:
            return Drafted(paths=empty[:1])
        logits = self._run.logits(ids, empty)[:, -1]
        tokens, p = [], []
        for at in range(length):
            p.append(self._base.distribution(logits))
            tokens.append(_drawn(p[-1], generator))
            if at + 1 < length:
                logits = self._run.grow(tokens[-1])
        return Drafted(paths=torch.stack(tokens, dim=1), p=torch.stack(p, dim=1))


def _drawn(p: Float[Tensor, "k d_vocab"], generator: torch.Generator) -> Tensor:
    drawn = torch.multinomial(p.to(generator.device), 1, generator=generator)
    return drawn[:, 0].to(p.device)


@dataclass(frozen=True, kw_only=True)
class TrigramTree:
    """Draft from a table of the text's own trigrams, by a tree search, without any model.

    A node's score is its mean value + (c₁ + ln((V + c₂ + 1)/c₂))·P·√V/(1 + n): V visits of its
    parent, n its own, P its probability in the table. Leaves are worth the probability of their
    path; the `drafts` paths visited most are drafted.

    Source: Liu et al. 2024, ADED, arXiv:2407.12021, and its code (c₁ = 32, c₂ = 8, depth 4, 24
    drafts, 150 iterations). We differ: the table holds prompt and output alone, and pairs where
    a trigram is unknown.
    """

    drafts: int = 24
    iterations: int = 150
    c1: float = 32.0
    c2: float = 8.0

    def __post_init__(self) -> None:
        """Refuse settings out of bounds."""
        if self.drafts < 1 or self.iterations < 1 or self.c2 <= 0:
            raise BadOption(
                f"drafts is {self.drafts}, iterations {self.iterations}, c2 {self.c2}; expected "
                "at least 1 draft and iteration, and c2 above 0"
            )

    def begin(self, model: Host, base: Sampling) -> "_TrigramDrafter":
        return _TrigramDrafter(self)


@dataclass(eq=False)
class _Node:
    prior: float = 1.0
    visits: int = 0
    value: float = 0.0
    below: dict[int, "_Node"] = field(default_factory=dict)


class _TrigramDrafter:
    def __init__(self, recipe: TrigramTree) -> None:
        self._recipe = recipe
        self._table: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        self._counted = 0

    def propose(self, ids: Sequence[int], length: int, generator: torch.Generator) -> Drafted:
        """Search the table for likely paths; nothing is drawn."""
        for at in range(max(self._counted, 1), len(ids)):
            self._table[(ids[at - 1],)][ids[at]] += 1
            self._table[tuple(ids[max(at - 2, 0) : at])][ids[at]] += at > 1
        self._counted = len(ids)
        root = _Node()
        for _ in range(self._recipe.iterations if self._next(ids[-2:]) and length > 0 else 0):
            self._visit(root, tuple(ids[-2:]), length)
        found = sorted(_paths(root), key=lambda path: -path[1])[: self._recipe.drafts]
        longest = max((len(path) for path, _ in found), default=0)
        rows = [path + (-1,) * (longest - len(path)) for path, _ in found] or [()]
        return Drafted(paths=torch.tensor(rows, dtype=torch.long).view(len(rows), longest))

    def _next(self, last: Sequence[int]) -> Counter[int]:
        return self._table.get(tuple(last[-2:])) or self._table.get((last[-1],)) or Counter()

    def _visit(self, root: _Node, last: tuple[int, ...], depth: int) -> None:
        nodes, value = [root], 1.0
        for _ in range(depth):
            node = nodes[-1]
            if not node.below:
                counts = self._next(last)
                total = counts.total()
                node.below = {token: _Node(prior=n / total) for token, n in counts.items()}
            if not node.below:
                break
            token = max(node.below, key=lambda one: self._score(node, node.below[one]))
            last = (*last[-1:], token)
            nodes.append(node.below[token])
            value *= nodes[-1].prior
        for node in nodes:
            node.visits += 1
            node.value += value

    def _score(self, parent: _Node, node: _Node) -> float:
        recipe, seen = self._recipe, parent.visits
        weight = recipe.c1 + math.log((seen + recipe.c2 + 1) / recipe.c2)
        mean = node.value / node.visits if node.visits else 0.0
        return mean + weight * node.prior * math.sqrt(seen) / (1 + node.visits)


def _paths(node: _Node, before: tuple[int, ...] = ()) -> list[tuple[tuple[int, ...], int]]:
    """Return the paths to every visited leaf with their visits."""
    visited = {token: one for token, one in node.below.items() if one.visits}
    if not visited:
        return [(before, node.visits)] if before else []
    return [path for token, one in visited.items() for path in _paths(one, (*before, token))]


def parse_draft(address: str, *, paths: int = 1) -> ModelDraft | TrigramTree:
    """Return the draft of that address: `tree`, `layers:N`, or the name of a second model.

    Raises:
        BadOption: the number of layers is none.
        ModelNotFound: there is no model of that name.
    """
    if address == "tree":
        return TrigramTree()
    kind, _, number = address.partition(":")
    if kind != "layers":
        return ModelDraft(model=load_model(address), paths=paths)
    if not number.isdecimal():
        raise BadOption(f"draft is {address!r}; expected layers:N with a number of layers")
    return ModelDraft(layers=int(number), paths=paths)
