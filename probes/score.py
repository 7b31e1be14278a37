"""How likely a model finds each of several answers, by several rules that rank them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import kendalltau

from workbench.errors import BadRows
from workbench.methods.choices import Ids, answers
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.methods.study_report import study_report
from workbench.model.masks import Piece
from workbench.model.model import Model
from workbench.model.span import load_scorer
from workbench.model.text_scorer import TextScorer
from workbench.options import option
from workbench.result.estimate import Estimate
from workbench.result.metric import Axis, Control, Plot, number, share
from workbench.result.result import Result
from workbench.result.row_samples import samples_of
from workbench.result.tables import Column, Rows, columns_from
from workbench.sampling.choice_scores import scorings
from workbench.sampling.parts import answer_ids, choices_of, pieces_of

_METRICS = {
    "correct": share("Texts whose label is ranked first.", "rule"),
    "margin": number("nats", "Score of the label less the best other.", "rule"),
    "agreement": number("", "Kendall's τ with the ranking by sum.", "rule", bounds=(-1.0, 1.0)),
}
_CONTROLS = {"random": Control("random ranking", "the choices in random order")}
_RULES = {
    "sum": "log p(choice | prompt), by the chain rule",
    "per-byte": "that, per byte of the choice",
    "prior-corrected": "that, less log p(choice | the prior prompt)",
    "pseudo": "both directions: each token with all other words in sight",
    "left_to_right": "both directions: each token with all that follow hidden",
}
_COLUMNS = columns_from("""
    text: Number of the text, from 0.
    choice: What may follow the text.
    is_label: Whether it is the right one.
""")
_MOST = 8
Numbers = Float[np.ndarray, " choice"]


@probe("score", source="Patel et al. 2023, arXiv:2209.14500; Salazar et al. 2020, arXiv:1910.14659")
@dataclass(frozen=True, kw_only=True)
class Score:
    """Score answers to a prompt by the chain rule, per byte, and less what they score anyway.

    The row's field `choices` lists the answers as they follow the text, and its label is the right
    one. Without it, the text's last word competes with the words before it. `masked` names a masked
    or span model (BERT, T5): it scores each token with all other words in sight (the rest of its
    word hidden) and with all that follow hidden, and τ says how far the rankings agree. Prompts
    may mark parts that do not see each other. Control: the choices in random order.

    Units: margins in nats, of `per-byte` in nats per byte; correct is a proportion.

    Raises:
        BadRows: no text has two choices.

    Source: pseudo-log-likelihood and sequential autoregressive prompting; the prior is that of
    Holtzman et al. 2021, arXiv:2104.08315. We differ: given answers are scored, none is written.
    """

    prior: str = option("Answer:", help="Prompt without the question, for the prior of an answer.")
    masked: str = option("", help="Folder or id of a masked or span model to compare with.")

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        other = load_scorer(self.masked) if self.masked else None
        scorer = _Scorer(model, other, self.prior)
        rows: Rows = []
        told: Rows = []
        for done, example in enumerate(examples):
            prompt, choices, label = _asked(example)
            if len(choices) > 1:
                scores = scorer.scores(prompt, choices, example.source)
                rows += _ranked(example.number, scores, choices, label, context)
                told += [
                    {"text": example.number, "choice": one, "is_label": one.strip() == label}
                    | {rule: x[i] for rule, x in scores.items()}
                    for i, one in enumerate(choices)
                ]
            context.progress(done + 1, len(examples), "texts")
        if not rows:
            raise BadRows("no text has two choices", hint='{"text": …, "choices": [" a", " b"]}')
        return _report(rows, told, len(examples))


class _Scorer:
    """The rules on one model; the prior of a set of choices is computed once."""

    def __init__(self, model: Model, masked: TextScorer | None, prior: str) -> None:
        self._model, self._masked = model, masked
        self._before = pieces_of(model.tokenizer, prior, source="prior")
        self._priors: dict[tuple[Ids, ...], Numbers] = {}

    def scores(self, prompt: str, choices: Sequence[str], source: str) -> dict[str, list[float]]:
        ids = tuple(answer_ids(self._model.tokenizer, choices))
        found = self._totals(pieces_of(self._model.tokenizer, prompt, source=source), ids)
        if ids not in self._priors:
            self._priors[ids] = self._totals(self._before, ids)
        scores = scorings(found, self._priors[ids], choices)
        if (masked := self._masked) is not None:
            scores["pseudo"] = np.array([masked.pseudo(prompt, c).sum() for c in choices])
            scores["left_to_right"] = np.array(
                [masked.left_to_right(prompt, c).sum() for c in choices]
            )
        return {rule: x.tolist() for rule, x in scores.items()}

    def _totals(self, prompt: Sequence[Piece], ids: Sequence[Ids]) -> Numbers:
        (found,) = answers(self._model, [prompt], [ids])
        return np.asarray(found.total)


def _asked(example: Example) -> tuple[str, list[str], str]:
    """Return the prompt, what may follow it and the right answer."""
    choices = choices_of(example)
    if choices:
        return example.text, choices, str(example.label or "").strip()
    words = example.text.split()
    if len(words) < 3:
        return example.text, [], ""
    others = [word for word in dict.fromkeys(words[:-1]) if word != words[-1]][-_MOST:]
    label = words[-1]
    return " ".join(words[:-1]), [f" {word}" for word in (*others, label)], label


def _ranked(
    text: int, scores: dict[str, list[float]], choices: Sequence[str], label: str, context: Context
) -> Rows:
    """Return a row per rule."""
    right = [i for i, choice in enumerate(choices) if choice.strip() == label]
    order = context.stream(f"score {text} {' '.join(choices)}").permutation(len(choices))
    rows = []
    for rule, x in scores.items():
        row: dict[str, Any] = {"text": text, "rule": rule}
        row["agreement"] = _tau(x, scores["sum"])
        row["agreement_random"] = _tau([x[i] for i in order], scores["sum"])
        if right:
            others = [each for i, each in enumerate(x) if i not in right]
            best = max(x[i] for i in right)
            row |= {"correct": float(best > max(others)), "margin": best - max(others)}
            row["correct_random"] = len(right) / len(choices)
        rows.append(row)
    return rows


def _tau(a: Sequence[float], b: Sequence[float]) -> float | None:
    found = float(kendalltau(a, b).statistic)
    return found if np.isfinite(found) else None


def _verdict(first: Estimate) -> str:
    """Say what the first estimate shows: right answers, or without any how far rankings agree."""
    if first.name.startswith("correct"):
        return first.told(
            "The right answer {} often than by chance",
            *("comes first more", "comes first less", "is not shown to come first more"),
        )
    return first.told("The rules {}", "rank alike", "rank the other way", "disagree")


def _report(rows: Rows, told: Rows, n_given: int) -> Result:
    rules = tuple(dict.fromkeys(row["rule"] for row in rows))
    words = "; ".join(f"{rule}: {_RULES[rule]}" for rule in rules)
    axes = {"rule": Axis(help=f"How choices are ranked. {words}.", labels=rules)}
    found = samples_of(rows, _METRICS, controls_of=_CONTROLS, axes_of=axes, n_given=n_given)
    estimates = [
        found.estimate(metric, "random", {"rule": rule})
        for metric in ("correct", "agreement")
        if metric in found.metrics
        for rule in rules
        if (metric, rule) != ("agreement", "sum")
    ]
    columns = {rule: Column("nats", f"{_RULES[rule].capitalize()}.") for rule in rules}
    columns["per-byte"] = Column("nats per byte", "Log-probability per byte of the choice.")
    return study_report(
        found,
        summary=f"{_verdict(estimates[0])}; {'; '.join(map(str, estimates[1:3]))}.",
        averages={"rules": ("rule",)},
        rows={"choices": told},
        columns=_COLUMNS | columns,
        estimates=estimates,
        plots=(Plot(title="Rankings", metrics=("correct", "agreement"), axes=("rule",)),),
    )
