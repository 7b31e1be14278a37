"""Whether the states behind causal questions hold the facts that the answer follows from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from probes.asked_states import AskedStates, fold_of
from probes.beliefs.ridge import tuned_ridge
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.methods.splits import shuffled
from workbench.model.model import Model
from workbench.model.sites import Site
from workbench.result.estimate import Estimate
from workbench.result.intervals import grouped_proportion_estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Curve
from workbench.sampling.choice_metrics import Predictions
from workbench.sampling.choice_states import ASKED, AskedItems

ANSWER = "answer"
_READ = " read right"
_LEAST = 4
Facts = Mapping[str, Bool[np.ndarray, " n"]]
Scores = Float[np.ndarray, " n"]


@probe("choice-structure", source="Hewitt & Liang 2019, arXiv:1909.03368; Jin et al. 2024")
@dataclass(frozen=True, kw_only=True)
class ChoiceStructure(AskedStates):
    """Read computed facts of causal questions off states, and list where they know better.

    The facts are what the generator computed of each question: whether the asked variables are
    adjacent, whether one is an ancestor of the other, and the right answer. At every layer, at the
    end of the question and of what is given, a ridge readout whose penalty is chosen inside the
    training part is scored on the questions of other groups (a premise, a model, a pair). Controls:
    facts of other groups, fitted and scored alike, and the mean input embedding of the prompt. The
    table `knows` sets the readout of the answer beside the model's choice; its layer is chosen on
    the other parts. It reads and intervenes nowhere.

    Units: AUROC, 0.5 for no information. Intervals resample groups.

    Raises:
        TooLittleData: fewer groups than folds, or no fact that varies.

    Source: control tasks of Hewitt & Liang; facts by exact engines instead of annotations.
    """

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        _, asked = self.asked(model, context)
        fold = fold_of(asked, self.n_folds, context)
        facts = facts_of(asked)
        draw = context.stream("shuffled facts")
        nulls = {name: _dealt(y, asked.groups, fold, draw) for name, y in facts.items()}
        places = list(asked.states)
        told: dict[tuple[str, Site], dict[str, Scores]] = {}
        for i, place in enumerate(places):
            told[place] = _read(asked.states[place], facts, asked, fold)
            null = _read(asked.states[place], nulls, asked, fold)
            told[place] |= {f"{name}/null": x for name, x in null.items()}
            context.progress(i + 1, len(places), "readouts fitted")
        words = _read(asked.embedded, facts, asked, fold)
        rows = [
            _row(place, name, told, (facts, nulls), words[name], asked, context)
            for name in facts for place in places
        ]  # fmt: skip
        return asked.told(_report(asked, rows, told, facts, nulls, fold))


def facts_of(asked: AskedItems) -> dict[str, Bool[np.ndarray, " n"]]:
    """Return the computed facts that are known of all questions and differ between groups.

    Raises:
        TooLittleData: there is none.
    """
    known = [dict(item.meta.get("facts") or {}) for item in asked.items]
    shared = [name for name in known[0] if all(name in one for one in known)]
    facts = {name: np.array([bool(one[name]) for one in known]) for name in shared}
    facts[ANSWER] = asked.gold == 0
    found = {
        name: y for name, y in facts.items()
        if min(len(np.unique(asked.groups[y == v])) for v in (True, False)) >= _LEAST
    }  # fmt: skip
    if not found:
        raise TooLittleData(
            f"no fact differs between {_LEAST} groups of questions or more", hint="raise --limit"
        )
    return found


def _dealt(
    y: Bool[np.ndarray, " n"],
    groups: NDArray[Any],
    fold: Int[np.ndarray, " n"],
    draw: np.random.Generator,
) -> Bool[np.ndarray, " n"]:
    """Return the facts of other groups, and those of a pair in random order."""
    found = np.asarray(shuffled(y, groups, fold, generator=draw), dtype=np.bool_)
    for group in np.unique(groups):
        mine = np.flatnonzero(groups == group)
        found[mine] = found[draw.permutation(mine)]
    return found


def _read(
    x: Float[np.ndarray, "n d_model"], facts: Facts, asked: AskedItems, fold: Int[np.ndarray, " n"]
) -> dict[str, Scores]:
    """Return the held-out reading of each fact, in spreads of the training part from its mean."""
    found = {name: np.zeros(len(fold)) for name in facts}
    _, owner = np.unique(asked.groups, return_inverse=True)
    for part in np.unique(fold):
        train, test = fold != part, fold == part
        goals = [y[train].astype(np.float64)[:, None] for y in facts.values()]
        for name, readout in zip(facts, tuned_ridge(x[train], goals, owner[train]), strict=True):
            inside, fact = readout.read(x[train])[:, 0], facts[name][train]
            both = [inside[fact == value].mean() for value in np.unique(fact)]
            middle = sum(both) / len(both)
            found[name][test] = (readout.read(x[test])[:, 0] - middle) / (inside.std() + 1e-12)
    return found


def _auroc(scores: Scores, fact: Bool[np.ndarray, " n"], groups: Sequence[str]) -> Predictions:
    two = np.stack([scores, np.zeros(len(scores))], axis=1)
    return Predictions(scores=two, gold=(~fact).astype(int), groups=groups)


def _row(  # noqa: PLR0913 - a place, a fact, and all that was read there
    place: tuple[str, Site],
    name: str,
    told: Mapping[tuple[str, Site], Mapping[str, Scores]],
    both: tuple[Facts, Facts],
    words: Scores,
    asked: AskedItems,
    context: Context,
) -> dict[str, Any]:
    groups, one = list(asked.groups), np.ones((1, len(words)))
    found = _auroc(told[place][name], both[0][name], groups).estimates(
        resamples=context.resamples, generator=context.stream("groups"), only=("auroc",)
    )["auroc"]
    null = _auroc(told[place][f"{name}/null"], both[1][name], groups).measure("auroc", one)
    alone = _auroc(words, both[0][name], groups).measure("auroc", one)
    return {
        "fact": name, "place": place[0], "layer": place[1].layer, "auroc": found.value,
        "auroc_low": found.low, "auroc_high": found.high, "auroc_shuffled": float(null[0]),
        "auroc_prompt": float(alone[0]), "n": found.n,
    }  # fmt: skip


def _chosen(
    told: Mapping[tuple[str, Site], Mapping[str, Scores]],
    name: str,
    fact: Bool[np.ndarray, " n"],
    fold: Int[np.ndarray, " n"],
) -> Scores:
    """Return the readings at the end of the question, the layer of a part chosen on the others."""
    places = [p for p in told if p[0] == ASKED]
    found = np.zeros(len(fold))
    for part in np.unique(fold):
        rest = fold != part
        right = [(((told[p][name] > 0) == fact)[rest]).mean() for p in places]
        found[~rest] = told[places[int(np.argmax(right))]][name][~rest]
    return found


def _verdict(estimates: Sequence[Estimate]) -> str:
    """Say which facts the states hold."""
    read = [e.name.removesuffix(_READ) for e in estimates if e.beside_control == "more than"]
    if not read:
        return "No computed fact is shown to be read off the states"
    return f"The states tell {', '.join(read)} more often than facts of other groups"


def _report(
    asked: AskedItems,
    rows: Sequence[Mapping[str, Any]],
    told: Mapping[tuple[str, Site], Mapping[str, Scores]],
    facts: Facts,
    nulls: Facts,
    fold: Int[np.ndarray, " n"],
) -> Result:
    estimates, groups = [], list(asked.groups)
    for name, fact in facts.items():
        read, null = (
            _chosen(told, name, fact, fold),
            _chosen(told, f"{name}/null", nulls[name], fold),
        )
        right = ((read > 0) == fact).astype(float)
        chance = float(((null > 0) == nulls[name]).mean())
        estimates.append(grouped_proportion_estimate(f"{name}{_READ}", right, groups)
                         .against(chance, "facts of other groups"))  # fmt: skip
    tables = {"facts": Table.from_rows(rows, _COLUMNS)}
    if ANSWER in facts:
        read = _chosen(told, ANSWER, facts[ANSWER], fold)
        null = _chosen(told, f"{ANSWER}/null", nulls[ANSWER], fold)
        knows, chance = (read > 0) == facts[ANSWER], (null > 0) == nulls[ANSWER]
        tables["knows"], tables["items"] = (
            _crossed(asked, knows, chance),
            _items(asked, knows, read),
        )
        estimates += _known(asked, knows, chance)
    return Result(
        summary=f"{_verdict(estimates[: len(facts)])}: {'; '.join(map(str, estimates))}.",
        estimates=tuple(estimates),
        tables=tables,
        notes=_notes(estimates),
        views=tuple(
            Curve(f"Facts read at the {place}", "facts", x="layer", y=("auroc",), group="fact",
                  control=("auroc_shuffled",))
            for place in dict.fromkeys(r["place"] for r in rows) if place == ASKED
        ),
    )  # fmt: skip


def _known(
    asked: AskedItems, knows: Bool[np.ndarray, " n"], chance: Bool[np.ndarray, " n"]
) -> list[Estimate]:
    wrong = ~asked.is_right
    if not wrong.any():
        return []
    groups = list(asked.groups[wrong])
    found = grouped_proportion_estimate(
        "state right where the answer is wrong", knows[wrong].astype(float), groups
    )
    return [found.against(float(chance[wrong].mean()), "facts of other groups")]


def _crossed(
    asked: AskedItems, knows: Bool[np.ndarray, " n"], chance: Bool[np.ndarray, " n"]
) -> Table:
    rows = [
        {"state": _WORDS[state], "answer": _WORDS[answer],
         "n": int(((knows == state) & (asked.is_right == answer)).sum()),
         "n_shuffled": int(((chance == state) & (asked.is_right == answer)).sum())}
        for state in (True, False) for answer in (True, False)
    ]  # fmt: skip
    return Table.from_rows(rows, {
        "n": Column("questions", "Questions of that kind."),
        "n_shuffled": Column("questions", "With facts of other groups.", control_of="n"),
    })  # fmt: skip


def _items(asked: AskedItems, knows: Bool[np.ndarray, " n"], read: Scores) -> Table:
    rows = [
        {"item": item.id, "family": item.family, "group": item.group, "answer": item.answer,
         "choice": item.choices[asked.chosen[i]], "is_right": bool(asked.is_right[i]),
         "state_knows": bool(knows[i]), "read": float(read[i]), "margin": float(asked.margin[i]),
         "proof": "; ".join(item.proof)}
        for i, item in enumerate(asked.items)
    ]  # fmt: skip
    return Table.from_rows(rows, {
        "read": Column("spreads", "Held-out reading of the answer, above 0 for the first choice."),
        "margin": Column("nats", "log p of the first choice less that of the second."),
    })  # fmt: skip


def _notes(found: Sequence[Estimate]) -> tuple[Note, ...]:
    weak = [e.name for e in found if e.low is None or e.low <= (e.control or 0.0)]
    told = f"not above facts of other groups: {', '.join(weak)}"
    return (Note(told, "warning", "null"),) if weak else ()


_WORDS = {True: "right", False: "wrong"}
_COLUMNS = {
    "auroc": Column("probability", "AUROC on held-out groups.", low="auroc_low", high="auroc_high"),
    "auroc_shuffled": Column("probability", "With facts of other groups.", control_of="auroc"),
    "auroc_prompt": Column(
        "probability", "From the mean input embedding of the prompt.", control_of="auroc"
    ),
    "n": Column("questions", "Questions read."),
}
