"""Questions to ask a model, and its distribution over the answers to each."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from probes.beliefs.elicit import Asked, Predict
from workbench.errors import BadRows
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.tokens import pad, token_ids
from workbench.sampling.processes.latent_class import LatentClass
from workbench.sampling.rendering import text_ids

_YES_NO = ("yes", "no")
_TRUE = ("1", "true", "yes", "y", "x")
_ROWS = 32
_FINAL = Site(Kind.FINAL_NORM)


@dataclass(frozen=True, kw_only=True)
class Item:
    """A question with its answers; a target is what the others should tell about."""

    question: str
    answers: tuple[str, ...] = _YES_NO
    is_target: bool = False
    known: int | None = None


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How questions and answers are written one after the other, behind an introduction."""

    lead: str = ""
    question: str = "Question: {}\n"
    answer: str = "Answer: "
    end: str = "\n"

    def prompt(self, items: Sequence[Item], asked: Asked, question: int) -> str:
        """Return the text up to where the answer stands, without the blank before it."""
        said = "".join(
            self.question.format(items[q].question) + self.answer + items[q].answers[a] + self.end
            for q, a in asked
        )
        return (self.lead + said + self.question.format(items[question].question)
                + self.answer).rstrip(" ")  # fmt: skip


SEQUENCE = Wording(question="{} ", answer="", end=" ")


def read_items(examples: Sequence[Example]) -> list[Item]:
    """Return rows as questions; `answers` is a list or divided by | or commas, `target` a mark.

    Raises:
        BadRows: fewer than two different answers, or a known answer that is none of them.
    """
    items, problems = [], []
    for e in examples:
        answers = _answers(e.fields.get("answers"))
        known = e.fields.get("answer")
        said = None if known in (None, "") else str(known).strip().casefold()
        spelt = [a.casefold() for a in answers]
        if len(set(spelt)) < 2:
            problems.append(f"{e.source or e.number}: {len(set(spelt))} answers; expected two")
        elif said is not None and said not in spelt:
            problems.append(f"{e.source or e.number}: {known!r} is not among {answers}")
        else:
            mark = str(e.fields.get("target", "")).strip().casefold() in _TRUE
            at = None if said is None else spelt.index(said)
            text = " ".join(e.text.split())
            items.append(Item(question=text, answers=answers, is_target=mark, known=at))
    if problems:
        raise BadRows("; ".join(problems[:20]), hint='{"text": "…?", "answers": ["yes", "no"]}')
    return items


def _answers(given: Any) -> tuple[str, ...]:
    if given is None or (isinstance(given, str) and not given.strip()):
        return _YES_NO
    parts = given if isinstance(given, list | tuple) else re.split(r"\s*[|,;/]\s*", str(given))
    return tuple(text for part in parts if (text := str(part).strip()))


def exact_predictor(process: LatentClass) -> Predict:
    """Return the predictions of Bayes' rule on a latent-class process."""

    def predict(wanted: Sequence[tuple[Asked, int]]) -> list[NDArray[np.float64]]:
        with np.errstate(divide="ignore"):
            return [np.log(process.after(asked) @ process.answer[:, q]) for asked, q in wanted]

    return predict


def model_predictor(
    model: Model, items: Sequence[Item], wording: Wording, context: Context
) -> Predict:
    """Return a model's predictions: log-probability of each answer, shares adding up to 1.

    An answer of several tokens counts with all of them.
    """

    def predict(wanted: Sequence[tuple[Asked, int]]) -> list[NDArray[np.float64]]:
        spelt: list[tuple[list[int], list[int]]] = []
        for asked, q in wanted:
            prompt = text_ids(model.tokenizer, wording.prompt(items, asked, q))
            spelt += [
                (prompt, token_ids(model.tokenizer, f" {a}", special_tokens=False))
                for a in items[q].answers
            ]
        scores = _scored(model, spelt)
        found, at = [], 0
        for _, q in wanted:
            part = np.array(scores[at : at + len(items[q].answers)])
            found.append(part - np.logaddexp.reduce(part))
            at += len(part)
        return found

    return predict


def _scored(model: Model, rows: Sequence[tuple[list[int], list[int]]]) -> list[float]:
    """Return the log-probability of each ending behind its prompt; equal prompts run once."""
    texts = [(*prompt, *end[:-1]) for prompt, end in rows]
    order = sorted(dict.fromkeys(texts), key=len)
    found: Mapping[tuple[int, ...], torch.Tensor] = {}
    longest = dict.fromkeys(order, 1)
    for text, (_, end) in zip(texts, rows, strict=True):
        longest[text] = max(longest[text], len(end))
    told: dict[tuple[int, ...], torch.Tensor] = dict(found)
    for start in range(0, len(order), _ROWS):
        batch = order[start : start + _ROWS]
        trace = model.run(pad(batch).to(model.device), read=[_FINAL])
        for i, text in enumerate(batch):
            states = trace.row(i, _FINAL)[-longest[text] :]
            told[text] = model.unembed(states, normed=True).float().log_softmax(dim=-1).cpu()
    return [
        float(sum(told[text][-len(end) + k, i] for k, i in enumerate(end)))
        for text, (_, end) in zip(texts, rows, strict=True)
    ]
