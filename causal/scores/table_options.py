"""The options of reading a table, the same for every discovery that fits one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from causal.scores.cleaning import Rules
from causal.scores.leaderboard import READ, ScoreTable, from_table, read_scores
from causal.scores.row_filters import RowFilter
from causal.scores.schemas import Schema
from causal.scores.selection import large_domains, without_uninformative
from workbench.errors import BadOption, TooLittleData
from workbench.options import option
from workbench.result.tables import Table

Drop = Literal["duplicates", "merges", "mixtures", "flagged", "worse-than-base"]
SECTION = "How the table is read"
Stage = Literal["name", "declared", "declared-family", "name-family", "architecture"]


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Which columns of a table hold what, how its cells are read, and which rows count.

    A discovery inherits these options, reads with `read` and takes `scores_of` in its `fit`.
    """

    columns: tuple[str, ...] = option(
        (), help="Columns of numbers to use; none given takes all.", section=SECTION
    )
    benchmarks: tuple[str, ...] = option(
        (), help="Another name of `columns`, for leaderboards.", section=SECTION
    )
    model_column: str = option(
        "", help="Column of row names, for a table of your own.", section=SECTION
    )
    domain_column: str = option(
        "", help="Column of domains, for a table of your own.", section=SECTION
    )
    no_domains: bool = option(False, help="Take all rows for one domain.", section=SECTION)
    group_tasks: bool = option(
        False, help="Average tasks by kind; families are the domains.", section=SECTION
    )
    drop: tuple[Drop, ...] = option((), help="Rows left out before fitting.", section=SECTION)
    weakest: Stage = option(
        "architecture",
        help="Weakest evidence for a base model that counts.",
        section=SECTION,
    )
    least_models: int = option(
        100, help="Fewest rows of a domain, where there are domains.", low=8, section=SECTION
    )
    separator: Literal["detect", "comma", "semicolon", "tab", "pipe", "space"] = option(
        "detect", help="What stands between the columns of a text file.", section=SECTION
    )
    decimal: Literal["detect", "point", "comma"] = option(
        "detect", help="Decimal sign of a text file.", section=SECTION
    )

    def read(self, path: Path | None) -> Table:
        """Read the table of a file, or the one that ships with the package.

        Raises:
            WorkbenchError: the file cannot be read, or lacks what was named.
        """
        return read_scores(
            "bundled" if path is None else path,
            schema=self._schema(),
            scores=self.chosen,
            grouped=self.group_tasks,
            separator="" if self.separator == "detect" else self.separator,
            rules=self._rules(),
        ).as_table()

    def scores_of(self, table: Table) -> ScoreTable:
        """Return the rows and columns of a table that these options choose, with notes.

        Raises:
            WorkbenchError: the table lacks what was named.
            TooLittleData: fewer than two rows or columns are left.
        """
        was_read = READ in table.frame.attrs
        scores = from_table(
            table,
            schema=None if was_read else self._schema(),
            scores=self.chosen,
            grouped=self.group_tasks and not was_read,
            rules=self._rules(),
        )
        return without_uninformative(self._filters().apply(scores))

    def enough(self, scores: ScoreTable) -> ScoreTable:
        """Keep the domains of at least `least_models` rows, and the columns that vary in them.

        Raises:
            TooLittleData: there is no such domain, or too little is left to fit.
        """
        kept = without_uninformative(large_domains(scores, self.least_models))
        if len(kept) < 2 or len(kept.benchmarks) < 2:
            raise TooLittleData(
                f"{len(kept)} rows and {len(kept.benchmarks)} columns are left to fit "
                f"({', '.join(kept.benchmarks)}); at least two columns and more rows than columns "
                "are needed" + "".join(f". {note.text}" for note in kept.notes),
                hint="give more columns or rows; --columns names what to use",
            )
        return kept

    @property
    def chosen(self) -> tuple[str, ...]:
        """The score columns named, empty for all.

        Raises:
            BadOption: `columns` and `benchmarks` were both given and differ.
        """
        if self.columns and self.benchmarks and self.columns != self.benchmarks:
            raise BadOption(
                f"--columns names {', '.join(self.columns)} and --benchmarks "
                f"{', '.join(self.benchmarks)}",
                hint="give one of them: they mean the same",
            )
        return self.columns or self.benchmarks

    @property
    def keeps_missing(self) -> bool:
        """Whether rows with missing cells stay; a discovery that can use them overrides this."""
        return False

    @property
    def takes_categories(self) -> bool:
        """Whether text columns become numbered categories; overridden where a test fits them."""
        return False

    def _rules(self) -> Rules:
        return Rules(
            decimal="" if self.decimal == "detect" else self.decimal,
            keep_missing=self.keeps_missing,
            categories=self.takes_categories,
            domains=not self.no_domains,
        )

    def _schema(self) -> Schema | None:
        if self.no_domains and self.domain_column:
            raise BadOption("--no-domains and --domain-column exclude each other")
        named = {"model": self.model_column, "domain": self.domain_column}
        facts = {fact: column for fact, column in named.items() if column}
        repeated = [c for c in facts.values() if c in self.chosen]
        if repeated:
            raise BadOption(f"column {repeated[0]!r} is named as a score and as a fact of the rows")
        return Schema(name="own table", facts=facts) if facts else None

    def _filters(self) -> RowFilter:
        return RowFilter(
            duplicates="duplicates" in self.drop,
            merges="merges" in self.drop,
            mixtures="mixtures" in self.drop,
            flagged="flagged" in self.drop,
            worse_than_base="worse-than-base" in self.drop,
            weakest=self.weakest,
        )
