"""Questions of the causal ladder: seeing, doing and imagining, drawn or released."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from causal.worlds.ladder import RUNGS
from causal.worlds.ladder_items import draw_question
from causal.worlds.released_models import beside, models_of
from causal.worlds.released_questions import FIELDS, yes_no_item
from causal.worlds.released_rows import usable_items
from workbench.errors import BadOption, TooLittleData
from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.items import Item, ItemTask


@register("task", "cladder", source="Jin et al. 2023, arXiv:2312.04350")
@dataclass(frozen=True, kw_only=True)
class CLadder(ItemTask):
    """Answer yes or no about what is seen, what is done and what would have been.

    Ten small graphs, ten queries: marginal, correlation and explaining away (rung 1); the average
    effect, back-door sets and collider bias (2); the effect on the treated, natural direct and
    indirect effects and deterministic counterfactuals (3). Every table is told in whole percent
    and the answer is computed from these by summing over all states; kinds and answers take turns.
    `cladder:FILE` reads released questions, labels as they are, with the backgrounds of the models
    in the same folder.

    Source: arXiv:2312.04350, with own wording and exact estimands.
    """

    path: str = option("", help="Released file; questions are drawn where none is named.")
    queries: str = option("all", help="Queries joined by commas: marginal, ate, nie, ….")
    margin: float = option(
        0.05, help="Least distance of a value from the boundary.", low=0.0, high=0.3
    )

    def items(self, limit: int, generator: np.random.Generator) -> Sequence[Item]:
        """Draw or read up to `limit` questions.

        Raises:
            BadOption: a query is none of the ten.
            TooLittleData: no question of a kind lies that far from the boundary.
            DataError: the file holds no released question.
        """
        if self.path:
            return self._read()[0][:limit]
        wanted = tuple(RUNGS) if self.queries == "all" else tuple(self.queries.split(","))
        if not set(wanted) <= set(RUNGS):
            raise BadOption(f"queries={self.queries}", hint=f"queries={','.join(RUNGS)}, or all")
        found = []
        for number in range(limit):
            kind = wanted[number // 2 % len(wanted)]
            item = draw_question(
                kind, number, is_yes=number % 2 == 0, margin=self.margin, generator=generator
            )
            if item is None:
                raise TooLittleData(
                    f"no {kind} question with a margin of {self.margin} was found",
                    hint="a smaller margin",
                )
            found.append(item)
        return found

    def skipped(self, limit: int) -> Sequence[tuple[str, str]]:
        """Return the place and the fault of rows of a released file that are no question."""
        return self._read()[1] if self.path else ()

    def _read(self) -> tuple[list[Item], list[tuple[str, str]]]:
        models = models_of(beside(Path(self.path)))
        told = {k: str(v.get("background", "")) for k, v in models.items()}
        return usable_items(
            self.path, partial(yes_no_item, task="cladder", backgrounds=told), FIELDS
        )
