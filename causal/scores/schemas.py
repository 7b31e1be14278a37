"""Which columns of a wide score table hold what."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from causal.scores.numerals import read_cell
from workbench.errors import UnknownName

OPEN_LLM_SCORES = ("IFEval", "BBH", "MATH Lvl 5", "GPQA", "MUSR", "MMLU-PRO")

# Facts kept about every model, under the names used everywhere after reading.
FACTS = (
    "model",
    "precision",
    "revision",
    "type",
    "architecture",
    "parameters_b",
    "declared",
    "merged",
    "moe",
    "flagged",
    "chat_template",
    "submitted",
    "domain",
    "evidence",
)


@dataclass(frozen=True, kw_only=True)
class Schema:
    """A mapping from a wide table to facts and scores.

    `facts` maps our name of a fact to the column that holds it. Without `scores`, every numeric
    column that is not a fact counts as a score. Without a model, rows are numbered; without a
    domain, it is found from the names of models, or all rows form one.
    """

    name: str
    facts: Mapping[str, str] = field(default_factory=dict)
    scores: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse facts that nothing downstream knows."""
        unknown = [fact for fact in self.facts if fact not in FACTS]
        if unknown:
            raise UnknownName(
                f"schema {self.name!r} maps {', '.join(unknown)}; facts are {', '.join(FACTS)}"
            )


PLAIN = Schema(name="plain table")

OPEN_LLM = Schema(
    name="open-llm-leaderboard-v2",
    facts={
        "model": "fullname",
        "precision": "Precision",
        "revision": "Model sha",
        "type": "Type",
        "architecture": "Architecture",
        "parameters_b": "#Params (B)",
        "declared": "Base Model",
        "merged": "Merged",
        "moe": "MoE",
        "flagged": "Flagged",
        "chat_template": "Chat Template",
        "submitted": "Submission Date",
    },
    scores=OPEN_LLM_SCORES,
)

# The extract that ships with the package; all of these columns together are its signature.
EXTRACT_FACTS = (
    "model",
    "precision",
    "type",
    "parameters_b",
    "merged",
    "moe",
    "flagged",
    "chat_template",
    "domain",
    "evidence",
)
EXTRACT = Schema(
    name="score-table", facts={fact: fact for fact in EXTRACT_FACTS}, scores=OPEN_LLM_SCORES
)
NAMED = Schema(name="score-table", facts={"model": "model", "domain": "domain"})
MTEB = Schema(name="mteb", facts={"model": "Model"})
LEAST_TASKS = 10

# Tasks of the embedding benchmark by what the end of their name says.
MTEB_GROUPS: Mapping[str, str] = {
    "Classification": r"Classification(\.v\d+)?$",
    "Clustering": r"Clustering(P2P|S2S)?(\.v\d+)?$",
    "Retrieval": r"(Retrieval|Instruction\w*|Ranking|QA\w*)(\.v\d+|-\w+)*$",
    "STS": r"(STS\w*|SICK-R\w*)(\.v\d+)?$",
    "BitextMining": r"(BitextMining|BUCC|Tatoeba|NTREX\w*|FloresBitext\w*)(\.v\d+)?$",
    "PairClassification": r"(PC|PairClassification|ParaphraseP\w*|NLI\w*)(\.v\d+)?$",
    "Reranking": r"Reranking(\.v\d+)?$",
}


def detect(columns: Iterable[str]) -> Schema:
    """Recognise a leaderboard by all columns of its signature, else return `PLAIN`.

    No column is a fact by its own name alone: a benchmark may be called `precision` or `type`.
    """
    names = set(columns)
    if {OPEN_LLM.facts["model"], *OPEN_LLM.scores} <= names:
        return OPEN_LLM
    if {*EXTRACT.facts.values(), *EXTRACT.scores} <= names:
        return EXTRACT
    if "Model" in names and sum(bool(task_group(name)) for name in names) >= LEAST_TASKS:
        return MTEB
    return PLAIN


def recognise(frame: pd.DataFrame) -> Schema:
    """Recognise a table by its columns, and columns `model` and `domain` by their words as well.

    A column of numbers is a variable whatever its name is.
    """
    found = detect(map(str, frame.columns))
    if found is PLAIN and all(n in frame and _holds_words(frame[n]) for n in NAMED.facts):
        return NAMED
    if found is MTEB and not _holds_words(frame["Model"]):
        return PLAIN
    return found


def _holds_words(column: "pd.Series[Any]") -> bool:
    cells = [read_cell(cell) for cell in column]
    return 2 * sum(cell.is_number for cell in cells) <= len(cells)


def task_group(task: str) -> str:
    """Return the kind of an embedding task by the end of its name, "" when it has none."""
    return next((g for g, pattern in MTEB_GROUPS.items() if re.search(pattern, task)), "")


def family_name(model: str) -> str:
    """Return the leading word of a model's name in lower case, without its owner."""
    words = re.split(r"[-_.\s]", model.rsplit("/", 1)[-1].lower())
    return re.sub(r"\d+$", "", words[0]) or words[0]
