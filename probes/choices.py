"""Choice questions by log-probability, beside what needs no reasoning."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.model.model import Model
from workbench.options import option
from workbench.progress import silent
from workbench.result.estimate import Estimate
from workbench.result.intervals import grouped_mean_estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table, columns_from
from workbench.result.views import Bars
from workbench.sampling.choice_baselines import (
    BASELINES,
    beside_baselines,
    estimates_by_name,
)
from workbench.sampling.choice_metrics import UNITS, Predictions
from workbench.sampling.choice_scores import (
    CONTENT_FREE,
    SCORINGS,
    log_probabilities,
    requests,
    scorings,
)
from workbench.sampling.items import Item, items_of, manifest
from workbench.sampling.task import open_task

Scores = NDArray[np.float64]
_LOWER_IS_BETTER = ("brier", "ece")


@probe("choices", source="Brown et al. 2020, arXiv:2005.14165; Zhao et al. 2021, arXiv:2102.09690")
@dataclass(frozen=True, kw_only=True)
class ChoiceQuestions:
    """Score the choices of a task's questions by log-probability, beside shortcut baselines.

    Scorings: the sum over a choice's tokens, the same per byte, and less the log-probability that
    the choice has without a question (prior-corrected). Baselines are fitted on the questions of
    other groups: the commonest answer, the length, the template, a bag of words. Questions that
    come relabelled, reworded or in another order are asked so as well; the invariance is the share
    of equal choices, its control what independent choices would give.

    Units: log-probabilities in nats. Intervals resample groups (a premise, a model, a pair).

    Source: GPT-3, section 2.4; contextual calibration for the prior.
    """

    default_task: ClassVar[str] = "counterbench?nodes=4"

    scoring: Literal["sum", "per-byte", "prior-corrected"] = option(
        "sum", help="Scoring of the estimates; the tables hold all three."
    )
    chat: bool = option(False, help="Ask as a message in the chat template of the model.")
    variants: bool = option(True, help="Ask the variants of every question too.")

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        task = open_task(context.task or self.default_task)
        drawn = items_of(task, context.limit or 100, context.stream("problems"))
        items = [i for i in drawn if self._fits(model, i)]
        if not items:
            raise TooLittleData(
                f"none of {len(drawn)} questions fits the {model.spec.max_positions} positions",
                hint="fewer nodes, or another model",
            )
        forms = sorted({v for i in items for v in i.variants}) if self.variants else []
        found = {form: self._scores(model, items, form, context) for form in ("", *forms)}
        known = beside_baselines(found[""], items, context)
        told = estimates_by_name(known, context)
        chosen = {f: x[self.scoring].argmax(axis=1) for f, x in found.items()}
        return self._report(items, known, told, chosen, len(drawn) - len(items))

    def _fits(self, model: Model, item: Item) -> bool:
        texts = (item.prompt, *(item.variants.values() if self.variants else ()))
        asked = [one for t in texts for one in requests(model, t, item.choices, chat=self.chat)]
        return max(len(one.ids) for one in asked) <= model.spec.max_positions

    def _scores(
        self, model: Model, items: Sequence[Item], form: str, context: Context
    ) -> dict[str, Scores]:
        """Return every scoring as questions by choices, −∞ where there is no choice."""
        texts = [item.variants.get(form, item.prompt) for item in items]
        asked = [requests(model, t, i.choices, chat=self.chat)
                 for t, i in zip(texts, items, strict=True)]  # fmt: skip
        flat = log_probabilities(model, [one for row in asked for one in row], context)
        sets = list(dict.fromkeys(item.choices for item in items))
        bare = [requests(model, CONTENT_FREE, c, chat=self.chat) for c in sets]
        quiet = replace(context, progress=silent)
        prior = log_probabilities(model, [one for row in bare for one in row], quiet)
        starts = dict(zip(sets, np.cumsum([0, *map(len, sets)]), strict=False))
        raw = np.full((len(items), max(map(len, sets))), -np.inf)
        found = {name: raw.copy() for name in SCORINGS}
        at = 0
        for row, item in enumerate(items):
            k = len(item.choices)
            base = prior[starts[item.choices] :][:k]
            told = scorings(flat[at : at + k], base, [f" {c}" for c in item.choices])
            for name, x in told.items():
                found[name][row, :k] = x
            at += k
        return found

    def _report(
        self,
        items: Sequence[Item],
        known: Mapping[str, Predictions],
        told: Mapping[str, Mapping[str, Estimate]],
        chosen: Mapping[str, NDArray[np.intp]],
        n_long: int,
    ) -> Result:
        best = {m: _best(told, m) for m in told[self.scoring]}
        headline = tuple(
            e.against(told[best[m]][m].value, f"{best[m]} baseline")
            for m, e in told[self.scoring].items()
        )
        lead = _lead(known, self.scoring, best["accuracy"])
        notes = _notes(told, self.scoring)
        if n_long:
            notes.append(Note(f"{n_long} questions are too long for the model", "warning", "long"))
        notes.append(Note(f"questions {manifest(items)}", code="manifest"))
        tables = {
            "metrics": _metrics(told),
            "families": _families(items, known[self.scoring], known[best["accuracy"]]),
            "invariance": _invariance(items, chosen),
            "items": _rows(items, known, chosen),
        }
        return Result(
            summary=_summary(lead, told[self.scoring]["accuracy"], best["accuracy"]),
            estimates=(*headline, lead),
            tables={name: table for name, table in tables.items() if len(table)},
            notes=tuple(notes),
            views=(Bars("Right answers", "metrics", x="scored by", y="accuracy"),),
        )


def _value(told: Mapping[str, Mapping[str, Estimate]], name: str, metric: str) -> float:
    value = told[name][metric].value
    sign = -1 if metric in _LOWER_IS_BETTER else 1
    return -np.inf if value is None else sign * value


def _notes(told: Mapping[str, Mapping[str, Estimate]], scoring: str) -> list[Note]:
    mine = _value(told, scoring, "accuracy")
    names = [name for name in BASELINES if _value(told, name, "accuracy") > mine]
    text = f"baselines that are right more often than the model: {', '.join(names)}"
    return [Note(text, "warning", "shortcut")] if names else []


def _best(told: Mapping[str, Mapping[str, Estimate]], metric: str) -> str:
    return max(BASELINES, key=lambda name: _value(told, name, metric))


def _lead(known: Mapping[str, Predictions], scoring: str, best: str) -> Estimate:
    right = [(one.chosen == one.gold).astype(float) for one in (known[scoring], known[best])]
    return grouped_mean_estimate(
        "lead over the best baseline", right[0] - right[1], known[scoring].groups,
        unit="accuracy", bounds=(-1.0, 1.0),
    ).against(0.0, "no lead")  # fmt: skip


def _summary(lead: Estimate, accuracy: Estimate, best: str) -> str:
    told = f"the model is right in {accuracy.value:.3f} of {accuracy.n} questions"
    beside = f"the {best} baseline in {(accuracy.value or 0) - (lead.value or 0):.3f}"
    if lead.low is None or lead.low <= 0:
        lead_in = "Not shown to be better" if (lead.value or 0) > 0 else "No better"
        return f"{lead_in} than the {best} baseline: {told}, {beside}."
    return f"Better than every baseline: {told}, {beside}."


def _metrics(told: Mapping[str, Mapping[str, Estimate]]) -> Table:
    rows = [
        {"scored by": name, "kind": "baseline" if name in BASELINES else "model"}
        | {f"{m}{end}": getattr(e, field) for m, e in found.items()
           for end, field in (("", "value"), ("_low", "low"), ("_high", "high"))}
        for name, found in told.items()
    ]  # fmt: skip
    columns = {m: Column(unit, f"{m} over all questions.", low=f"{m}_low", high=f"{m}_high")
               for m, unit in UNITS.items()}  # fmt: skip
    return Table.from_rows(rows, columns)


def _families(items: Sequence[Item], model: Predictions, baseline: Predictions) -> Table:
    rows = []
    for name in sorted({i.family for i in items}):
        mine = np.array([i.family == name for i in items])
        groups = [g for g, m in zip(model.groups, mine, strict=True) if m]
        right = (model.chosen == model.gold)[mine].astype(float)
        found = grouped_mean_estimate(name, right, groups, unit="proportion", bounds=(0.0, 1.0))
        rows.append({
            "family": name, "n": int(mine.sum()), "accuracy": found.value,
            "accuracy_low": found.low, "accuracy_high": found.high,
            "accuracy_baseline": float((baseline.chosen == baseline.gold)[mine].mean()),
        })  # fmt: skip
    return Table.from_rows(rows, {
        "accuracy": Column(
            "proportion", "Right answers.", low="accuracy_low", high="accuracy_high"
        ),
        "accuracy_baseline": Column("proportion", "Of the best baseline.", control_of="accuracy"),
    })  # fmt: skip


def _invariance(items: Sequence[Item], chosen: Mapping[str, NDArray[np.intp]]) -> Table:
    groups, rows = [i.group or i.id for i in items], []
    n_choices = max(len(i.choices) for i in items)
    for form in filter(None, chosen):
        mine = [i for i, item in enumerate(items) if form in item.variants]
        both = (chosen[form][mine], chosen[""][mine])
        same, of = (both[0] == both[1]).astype(float), [groups[i] for i in mine]
        found = grouped_mean_estimate(form, same, of, unit="proportion", bounds=(0.0, 1.0))
        shares = [np.bincount(c, minlength=n_choices) / len(same) for c in both]
        row = {"variant": form, "same": found.value, "same_low": found.low}
        rows.append(row | {"same_high": found.high, "same_chance": float(shares[0] @ shares[1])})
    return Table.from_rows(rows, {
        "same": Column("proportion", "Equal choices.", low="same_low", high="same_high"),
        "same_chance": Column("proportion", "Of independent choices.", control_of="same"),
    })  # fmt: skip


def _graphs(item: Item) -> dict[str, Any]:
    """Return the edges of the graphs of a proof, column by column, and what they join."""
    graphs = item.meta.get("graphs") or {"": item.meta.get("edges") or []}
    found = [(title, a, b) for title, edges in graphs.items() for a, b in edges]
    nodes = item.meta.get("names") or dict.fromkeys(v for _, *pair in found for v in pair)
    columns = zip(*found, strict=True) if found else ((), (), ())
    told = dict(zip(("graph", "cause", "effect"), map(list, columns), strict=True))
    return {**told, "nodes": list(nodes)}


def _rows(
    items: Sequence[Item], known: Mapping[str, Predictions], chosen: Mapping[str, NDArray[np.intp]]
) -> Table:
    rows = []
    for i, item in enumerate(items):
        x, k = known["sum"].scores[i], len(item.choices)
        row: dict[str, Any] = {
            "item": item.id, "family": item.family, "group": item.group,
            "answer": item.answer, "choice": item.choices[chosen[""][i]],
            "is_right": bool(chosen[""][i] == item.gold),
            "margin": float(x[item.gold] - np.delete(x[:k], item.gold).max()),
            "prompt_hash": hashlib.sha256(item.prompt.encode()).hexdigest()[:16],
            "logp": [float(v) for v in x[:k]], "graded": item.graded,
        }  # fmt: skip
        row |= {f"same_{f}": bool(c[i] == chosen[""][i]) for f, c in chosen.items() if f}
        rows.append(row | {"proof": "; ".join(item.proof), "prompt": item.prompt} | _graphs(item))
    return Table.from_rows(rows, columns_from("""
        margin (nats): log p of the right choice less that of the best other one.
        graded: Target between the choices, where the generator has one.
        prompt: The question as it was asked.
        graph: Which graph of the proof each edge belongs to.
        cause: Cause of each edge.
        effect: Effect of each edge.
        nodes: What the graphs of the proof are about.
        logp (nats): log p of every choice, summed over its tokens.
    """))  # fmt: skip
