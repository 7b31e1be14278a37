"""How well a model lists the causes that a text tells of, stated ones and implied ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any, ClassVar

import numpy as np

from workbench.errors import DataError, TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.methods.study_report import study_report
from workbench.model.model import Model
from workbench.options import option
from workbench.result.metric import Control, number, share
from workbench.result.result import Note, Result
from workbench.result.row_samples import samples_of
from workbench.result.tables import columns_from
from workbench.result.views import Bars
from workbench.sampling.edge_grading import Edge, EdgeGrader, graph_scores, recall_of
from workbench.sampling.responses import greedy_responses
from workbench.sampling.task import Problem, open_task

_CONTROLS = {
    "random": Control("as many random edges", "as many edges between random names of the text"),
    "near": Control("names in one sentence", "an edge from each name to the next of its sentence"),
}
_METRICS = {
    "f1": share("Harmonic mean of precision and recall.", unit="F1", name="F1 of edges"),
    "precision": share("Listed edges that the text tells of.", name="precision"),
    "recall": share("Edges of the text that are listed.", name="recall"),
    "stated": share("Stated edges that are listed.", name="recall of stated edges"),
    "implied": share("Implied edges that are listed.", name="recall of implied edges"),
    "size": number("edges", "Edges that are listed.", name="edges listed"),
    "distance": number("edges", "Structural Hamming distance.", name="distance"),
    "distance_share": share("Distance over ordered pairs.", name="distance per pair"),
}
_LIMIT = 50


@probe("cause-graphs", source="Saklad et al. 2025, arXiv:2505.18931")
@dataclass(frozen=True, kw_only=True)
class CauseGraphs:
    """Let a model list the causes that each text tells of, and score the list as a graph.

    Edges count where both names are those of the text. Precision is that of texts for which the
    model lists any. Recall of stated and of implied edges stand apart: the difference is what
    inference costs. Controls: as many random edges, and an edge between every two names of a
    sentence in their order, which needs no reading.

    Cost: one greedy response for each text.

    Units: proportions and edges; intervals resample texts. It reads and intervenes nowhere.

    Raises:
        DataError: reference answers are no lists of edges.
        TooLittleData: no text fits the model.

    Source: the graph scorer of ReCAST, without judged matching.
    """

    default_task: ClassVar[str] = "cause-graph"

    tokens: int = option(96, help="Most tokens of a list.", low=1, high=8192, unit="tokens")

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        task = open_task(context.task or self.default_task)
        problems = list(task.problems(context.limit or _LIMIT, context.stream("problems")))
        if not all(EdgeGrader().accepts(p.answer) for p in problems):
            raise DataError(
                f"the answers of {context.task} are no lists of causes",
                hint="--task cause-graph, or answers such as 'rain -> flood; dam -> flood'",
            )
        said = greedy_responses(model, task, problems, most=self.tokens, context=context)
        draw = context.stream("random edges")
        rows = [
            _row(problem, chain.response, draw)
            for problem, chain in zip(problems, said, strict=True)
            if chain is not None
        ]
        if not rows:
            raise TooLittleData("no text fits the model", hint="fewer nodes, or another model")
        return _report(rows, len(problems) - len(rows))


def _row(problem: Problem, response: str, draw: np.random.Generator) -> dict[str, Any]:
    """Return every score of one response, beside those of both controls."""
    wanted = EdgeGrader().edges(problem.answer)
    names = tuple(problem.fields.get("names") or sorted({v for edge in wanted for v in edge}))
    found = EdgeGrader(names=names).edges(response)
    pairs = list(permutations(names, 2))
    at = draw.permutation(len(pairs))[: len(found)]
    lists = {"": found, "_random": frozenset(pairs[i] for i in at),
             "_near": near(problem.question, names)}  # fmt: skip
    row: dict[str, Any] = {"item": problem.id}
    for end, edges in lists.items():
        scores = graph_scores(edges, wanted, len(names))
        scores["size"] = float(len(edges))
        for kind in ("stated", "implied"):
            some: Sequence[Edge] = [(a, b) for a, b in problem.fields.get(kind, ())]
            scores[kind] = recall_of(edges, some)
        row |= {f"{name}{end}": value for name, value in scores.items()}
    told = "; ".join(f"{a} -> {b}" for a, b in sorted(found))
    return {**row, "listed": told, "reference": problem.answer, "response": response}


def near(text: str, names: Sequence[str]) -> frozenset[Edge]:
    """Return an edge from each name of a sentence to every later one, sentences of all left out."""
    found = set()
    for sentence in text.split(". "):
        there = sorted((sentence.find(name), name) for name in names if name in sentence)
        if len(there) < len(names):
            found |= set(combinations([name for _, name in there], 2))
    return frozenset(found)


def _report(rows: Sequence[Mapping[str, Any]], n_long: int) -> Result:
    found = samples_of(rows, _METRICS, by=("item",), unit="texts", controls_of=_CONTROLS)
    f1 = found.estimate("f1", "near")
    is_better = f1.low is not None and f1.low > (f1.control or 0.0)
    lead = (
        "Better than names in one sentence" if is_better else "No better than names in one sentence"
    )
    recalls = [found.estimate(k, "random") for k in ("stated", "implied") if k in found.metrics]
    told = "; ".join(map(str, recalls))
    long = (Note(f"{n_long} texts are too long for the model", "warning", "long"),)
    return study_report(
        found,
        summary=f"{lead}: {f1}; {told}.",
        rows={"texts": [{k: r[k] for k in _SHOWN} for r in rows]},
        columns=_COLUMNS,
        plots=(Bars("F1 by text", "texts", x="item", y="f1"),),
        notes=long if n_long else (),
    )


_SHOWN = ("item", "f1", "f1_near", "distance", "listed", "reference", "response")
_COLUMNS = columns_from("""
    listed: Edges that were read off the response.
    reference: Edges of the text.
    response: What the model wrote.
""")
