"""Which of two named quantities is the cause? Pairs with a known direction, names shown or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from causal.worlds.correlation_items import draw_names
from causal.worlds.released_rows import Row, fitting_rows
from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.items import Item, ItemTask

_ASKED = (
    "Which is more likely? A: changing {a} causes a change in {b}. "
    "B: changing {b} causes a change in {a}."
)
_CHOICES = ("A", "B")
_FIELDS = ("var1", "var2", "ground_truth")


@register(
    "task", "cause-direction", source="Kıcıman et al. 2023, arXiv:2305.00050; Mooij et al. 2016"
)
@dataclass(frozen=True, kw_only=True)
class CauseDirection(ItemTask):
    """Say which of two named quantities causes the other, from their names alone.

    `cause-direction:pairs.csv` reads rows with var1, var2 and ground_truth (R: the first causes
    the second, L: the other way). In the released order the first causes the second in 74 % of the
    Tübingen pairs, so that which is named first is drawn for every question. Rows that name the
    same quantity twice (two of those pairs) are left out. Names may be known from training:
    `masked=yes` puts letters in their place, after which nothing can be known and one half is
    right.

    Source: the two-option prompt of Kıcıman et al., section 3.1, in own words.
    """

    instruction: ClassVar[str] = "Answer A or B."

    path: str = option("", help="File of pairs: var1, var2 and ground_truth (R or L).")
    masked: bool = option(False, help="Put letters in the place of the names.")

    def items(self, limit: int, generator: np.random.Generator) -> Sequence[Item]:
        """Return up to `limit` pairs in the order of the file.

        Raises:
            DataError: no file is named, it holds no pair, or rows do not fit.
        """
        rows = [row for row in self._rows() if not _alike(row.values)]
        return [self._item(row.line, row.values, generator) for row in rows[:limit]]

    def skipped(self, limit: int) -> Sequence[tuple[str, str]]:
        """Return the rows that name the same quantity twice, which names cannot answer."""
        rows, name = self._rows(), Path(self.path).name
        return [(f"{name}:{r.line}", "both names are the same") for r in rows if _alike(r.values)]

    def _rows(self) -> list[Row]:
        return fitting_rows(self.path, _fits, f"{', '.join(_FIELDS)}, the last one R or L")

    def _item(self, line: int, row: Mapping[str, Any], generator: np.random.Generator) -> Item:
        names = [str(row[field]).strip() for field in _FIELDS[:2]]
        is_first = str(row["ground_truth"]).strip() == "R"
        is_kept = bool(generator.random() < 0.5)
        shown = list(draw_names(2, 26, generator)) if self.masked else names
        a, b = shown if is_kept else shown[::-1]
        cause, effect = shown if is_first else shown[::-1]
        return Item(
            id=f"{Path(self.path).stem}:{line}",
            task="cause-direction",
            family="masked" if self.masked else "named",
            prompt=_ASKED.format(a=a, b=b),
            choices=_CHOICES,
            gold=int(is_first is not is_kept),
            group=" ".join(sorted(names)),
            template="A or B",
            proof=(f"{cause}→{effect}",),
            meta={"edges": [[cause, effect]], "names": list(shown)},
        )


def _fits(row: Mapping[str, Any]) -> bool:
    told = [str(row.get(field) or "").strip() for field in _FIELDS]
    return all(told) and told[2] in ("R", "L")


def _alike(row: Mapping[str, Any]) -> bool:
    return str(row["var1"]).strip() == str(row["var2"]).strip()
