"""One released row judged by the exact engine of its set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from causal.worlds.boolean import would_be
from causal.worlds.boolean_text import read_question
from causal.worlds.calm_rows import answers_of, effect_value, is_calm, read_row
from causal.worlds.correlation_items import read_proof
from causal.worlds.correlation_text import read_statement
from causal.worlds.ladder import RUNGS, Query, answer, read_model, stored_estimands
from causal.worlds.released_correlations import is_released, parts
from causal.worlds.released_models import is_model
from causal.worlds.released_questions import is_question, meta_of, stated_answer
from workbench.errors import DataError

Values = Mapping[str, Any]
Models = Mapping[Any, Values]
TOLERANCE = 1e-6
_ROUNDED = 0.005


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a row states beside what is computed; `computed` is empty where nothing decides."""

    family: str
    group: str
    stated: str
    computed: str
    proof: tuple[str, ...]
    note: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether the label is another than the computed one."""
        return bool(self.computed) and self.stated != self.computed


@dataclass(frozen=True)
class Format:
    """A released set: how its rows are known and judged."""

    name: str
    is_row: Callable[[Values], bool]
    judge: Callable[[Values, Models], Judgement]


def judge_correlation(row: Values, models: Models) -> Judgement:
    """Judge a premise and a hypothesis by the class of the premise."""
    premise, hypothesis, follows, _ = parts(row)
    read = read_statement(premise, hypothesis)
    found, proof, _ = read_proof(read)
    return Judgement(
        family=read.relation,
        group=premise,
        stated=_word(follows),
        computed=_word(found == "entailment"),
        proof=(f"{hypothesis} {found}", *proof),
    )


def judge_ladder(row: Values, models: Models) -> Judgement:
    """Judge a question by the model it names."""
    meta, is_yes = meta_of(row), stated_answer(row)
    number = meta.get("model_id")
    if number not in models:
        raise DataError(f"no model {number!r}", hint="--models FILE with structure and params")
    found = answer(read_model(models[number]), query_of(meta))
    kind = str(meta["query_type"])
    zero = 0.5 if kind in ("marginal", "det-counterfactual") else 0.0
    is_near = kind not in ("backadj", "collider_bias") and abs(found.value - zero) < _ROUNDED
    return Judgement(
        family=kind,
        group=f"model {number}",
        stated=_word(is_yes),
        computed="" if found.is_yes is None else _word(found.is_yes),
        proof=found.proof,
        note="decided by less than 0.005" if is_near else "",
    )


def query_of(meta: Values) -> Query:
    """Return the query that a released question describes.

    Raises:
        DataError: a field is missing or strange.
    """
    kind, given = str(meta.get("query_type")), meta.get("given_info")
    sets: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    if kind == "backadj":
        if not isinstance(given, list) or len(given) != 2:
            raise DataError(f"given_info is {given!r}; expected two sets")
        sets = (tuple(map(str, given[0])), tuple(map(str, given[1])))
    evidence = given if kind == "det-counterfactual" and isinstance(given, Mapping) else {}
    return Query(
        kind=kind,
        polarity=bool(meta.get("polarity", True)),
        x=str(meta.get("treatment", "X")),
        y=str(meta.get("outcome", "Y")),
        collider=str(meta.get("collider", "V3")),
        action=int(meta.get("action", 0)),
        evidence={str(k): int(v) for k, v in evidence.items()},
        sets=sets,
    )


def judge_model(row: Values, models: Models) -> Judgement:
    """Judge the stored marginals and effects of a model."""
    model, stored = read_model(row), dict(row.get("groundtruth") or {})
    truth = stored_estimands(model)
    off = {
        k: (float(v), truth[k])
        for k, v in stored.items()
        if k in truth and abs(float(v) - truth[k]) > TOLERANCE
    }
    marginals = [k for k in off if "|" not in k]
    told = tuple(f"{k} is {exact:.4f}, stored as {kept:.4f}" for k, (kept, exact) in off.items())
    wrong = "marginals" if marginals else "effects"
    return Judgement(
        family=f"{row.get('equation_type', 'some')} model",
        group=f"model {row['model_id']}",
        stated="exact",
        computed=f"{wrong} wrong" if off else "exact",
        proof=told or (f"all {len(stored)} stored values are exact",),
    )


def judge_boolean(row: Values, models: Models) -> Judgement:
    """Judge a question about a Boolean system by what its text says."""
    text = f"{row['given_info']} {row['question']}"
    read, is_yes = read_question(text), stated_answer(row)
    found = would_be(read.system, read.asked)
    meta = meta_of(row)
    return Judgement(
        family=str(row.get("type", meta.get("query_type", "released"))),
        group=f"{meta.get('model_id', text)}",
        stated=_word(is_yes),
        computed="" if found.is_yes is None else _word(found.is_yes),
        proof=found.proof,
    )


def judge_calm(row: Values, models: Models) -> Judgement:
    """Judge a question of CaLM by its graph and by the numbers of its text."""
    asked, note = read_row(row), ""
    right, proof = answers_of(row)
    found = effect_value(row) if "Background" in row else None
    value = found.value if found and found.value is not None else 0.0
    if asked.choices and 0 < abs(value) < _ROUNDED:
        note = "decided by less than 0.005"
    if right is None:
        computed = ""
    elif not asked.choices and found:
        is_same = abs(value - float(row["gt_answer"])) < found.rounding
        computed = asked.answer if is_same else f"{value:.4f}"
    else:
        options = [asked.choices[i] for i in right]
        is_open = len(right) > 1 and asked.right in right
        computed = "" if is_open else " or ".join(options) or "none"
    return Judgement(
        family=asked.kind, group=asked.graph, stated=asked.answer, computed=computed, proof=proof,
        note=note,
    )  # fmt: skip


def _is_ladder(row: Values) -> bool:
    # CounterBench names a query of this set too, but never its polarity.
    meta = meta_of(row)
    return is_question(row) and meta.get("query_type") in RUNGS and "polarity" in meta


def _word(is_yes: bool) -> str:
    return "yes" if is_yes else "no"


FORMATS = (
    Format("Corr2Cause", is_released, judge_correlation),
    Format("CLadder models", is_model, judge_model),
    Format("CLadder", _is_ladder, judge_ladder),
    Format("CaLM", is_calm, judge_calm),
    Format("CounterBench", is_question, judge_boolean),
)
