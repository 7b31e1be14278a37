"""Which columns of a wide score table hold what."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

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
    column that is not a fact counts as a score.
    """

    name: str
    facts: Mapping[str, str] = field(default_factory=dict)
    scores: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse facts that nothing downstream knows."""
        unknown = [fact for fact in self.facts if fact not in FACTS]
        if unknown or "model" not in self.facts:
            raise UnknownName(
                f"schema {self.name!r} maps {', '.join(unknown) or 'no model column'}; "
                f"facts are {', '.join(FACTS)}, and `model` is required"
            )


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

MTEB = Schema(name="mteb", facts={"model": "Model"})

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
    """Recognise a known table by its column names.

    Raises:
        UnknownName: no known table has these columns.
    """
    names = set(columns)
    if {OPEN_LLM.facts["model"], *OPEN_LLM.scores} <= names:
        return OPEN_LLM
    if {"model", "domain"} <= names:
        return Schema(name="score-table", facts={fact: fact for fact in FACTS if fact in names})
    if "Model" in names and sum(bool(task_group(name)) for name in names) >= 10:
        return MTEB
    shown = ", ".join(sorted(names)[:12])
    raise UnknownName(
        f"the table is none we know; its columns are {shown}{' …' if len(names) > 12 else ''}",
        hint="name the model column, the score columns and, if there is one, the domain column",
    )


def task_group(task: str) -> str:
    """Return the kind of an embedding task by the end of its name, "" when it has none."""
    return next((g for g, pattern in MTEB_GROUPS.items() if re.search(pattern, task)), "")


def family_name(model: str) -> str:
    """Return the leading word of a model's name in lower case, without its owner."""
    words = re.split(r"[-_.\s]", model.rsplit("/", 1)[-1].lower())
    return re.sub(r"\d+$", "", words[0]) or words[0]
