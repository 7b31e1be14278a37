"""What follows from correlations about causes: drawn questions, and released ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from causal.worlds.correlation_items import draw_pairs, pair_items
from causal.worlds.relations import RELATIONS
from causal.worlds.released_correlations import parts
from causal.worlds.released_rows import Row, usable_items
from workbench.errors import BadOption
from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.items import Item, ItemTask


@register("task", "corr2cause", source="Jin et al. 2024, arXiv:2306.05836")
@dataclass(frozen=True, kw_only=True)
class Corr2Cause(ItemTask):
    """Say whether a causal statement follows from all correlations of a few variables.

    A statement follows if it holds in every graph of the Markov equivalence class that the
    correlations determine. Questions come in minimal pairs: two premises whose graphs differ in
    one edge, the same statement, once Yes and once No; relations take turns and names are random
    letters, so that neither the statement nor a name tells the answer. The premise can: with
    three variables its words give the class away, and a bag of words fitted on other questions
    is right every time; with five it is near chance. `corr2cause:FILE` reads a released file,
    labels as they are; `workbench causal audit FILE` says which of them are wrong.

    Source: arXiv:2306.05836, section 3, with exact labels, balance, random names and own wording.
    """

    path: str = option("", help="Released file; questions are drawn where none is named.")
    nodes: int = option(4, help="Variables of a question.", low=2, high=6)
    relations: str = option("all", help="Relations joined by commas: parent, child, ancestor, ….")
    wording: Literal["own", "brief", "released"] = option(
        "own", help="Words of premise and statement; brief is for small networks."
    )
    letters: int = option(26, help="Letters that names are drawn from.", low=2, high=26)

    def items(self, limit: int, generator: np.random.Generator) -> Sequence[Item]:
        """Draw or read up to `limit` questions.

        Raises:
            TooLittleData: so few variables never entail the relations.
            DataError: the file holds no released question.
            BadOption: a relation is none of the six.
        """
        if self.path:
            return self._read()[0][:limit]
        wanted = RELATIONS if self.relations == "all" else tuple(self.relations.split(","))
        strange = [name for name in wanted if name not in RELATIONS]
        if strange:
            raise BadOption(
                f"relations={self.relations}; {', '.join(strange)} is none of them",
                hint=f"relations={','.join(RELATIONS)}, or all",
            )
        if self.letters < self.nodes:
            raise BadOption(
                f"letters={self.letters} cannot name {self.nodes} variables",
                hint=f"letters={self.nodes} or more",
            )
        pairs = draw_pairs((limit + 1) // 2, self.nodes, wanted, generator)
        found = [
            item
            for number, pair in enumerate(pairs)
            for item in pair_items(
                pair, number, wording=self.wording, letters=self.letters, generator=generator
            )
        ]
        return found[:limit]

    def skipped(self, limit: int) -> Sequence[tuple[str, str]]:
        """Return the place and the fault of rows of a released file that are no question."""
        return self._read()[1] if self.path else ()

    def _read(self) -> tuple[list[Item], list[tuple[str, str]]]:
        fields = "premise, hypothesis and label, or input and label"
        return usable_items(self.path, _released, fields)


def _released(path: Path, row: Row) -> Item:
    premise, hypothesis, follows, stated = parts(row.values)
    return Item(
        id=f"{path.stem}:{row.line}",
        task="corr2cause",
        family=str(row.values.get("template", "released")),
        prompt=f"{premise} Does it follow that: {hypothesis}",
        gold=int(not follows),
        group=premise,
        template=hypothesis,
        meta={"stated": stated},
    )
