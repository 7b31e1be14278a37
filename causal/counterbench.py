"""What would have been in a deterministic world: drawn questions, and released ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from causal.worlds.boolean_items import draw_pair
from causal.worlds.boolean_text import TYPES
from causal.worlds.released_questions import FIELDS, yes_no_item
from causal.worlds.released_rows import usable_items
from workbench.errors import BadOption, TooLittleData
from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.items import Item, ItemTask


@register("task", "counterbench", source="Chen et al. 2025, arXiv:2502.11008")
@dataclass(frozen=True, kw_only=True)
class CounterBench(ItemTask):
    """Say whether an event would have occurred in a system of invented events and their rules.

    Every rule is one cause or two joined by and or or, with negations. Types: `basic` turns one
    exogenous event, `conditional` observes a later event, `joint` sets two events, `nested`
    supposes one and then another. Questions come in pairs that differ in one rule and in the
    answer; what is set always matters. `counterbench:FILE` reads a released file, labels as they
    are.

    Source: arXiv:2502.11008, with own wording and labels by search with backtracking.
    """

    path: str = option("", help="Released file; questions are drawn where none is named.")
    nodes: int = option(6, help="Events of a question.", low=4, high=12)
    types: str = option("all", help="Types joined by commas: basic, conditional, joint, nested.")

    def items(self, limit: int, generator: np.random.Generator) -> Sequence[Item]:
        """Draw or read up to `limit` questions.

        Raises:
            BadOption: a type is none of the four.
            TooLittleData: no question of a type was found.
            DataError: the file holds no released question.
        """
        if self.path:
            return self._read()[0][:limit]
        wanted = TYPES if self.types == "all" else tuple(self.types.split(","))
        if not set(wanted) <= set(TYPES):
            raise BadOption(f"types={self.types}", hint=f"types={','.join(TYPES)}, or all")
        found: list[Item] = []
        for number in range((limit + 1) // 2):
            kind = wanted[number % len(wanted)]
            pair = draw_pair(kind, self.nodes, number, generator)
            if pair is None:
                raise TooLittleData(f"no {kind} question of {self.nodes} events was found")
            found += pair
        return found[:limit]

    def skipped(self, limit: int) -> Sequence[tuple[str, str]]:
        """Return the place and the fault of rows of a released file that are no question."""
        return self._read()[1] if self.path else ()

    def _read(self) -> tuple[list[Item], list[tuple[str, str]]]:
        return usable_items(self.path, partial(yes_no_item, task="counterbench"), FIELDS)
