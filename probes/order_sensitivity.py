"""Whether an answer depends on the order in which the parts of a prompt stand."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import BadOption, BadRows
from workbench.methods.choices import Answers, Ids, answers
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import text_key
from workbench.methods.registry import probe
from workbench.methods.study_report import study_report
from workbench.model.masks import Parallel, Piece, lay_out, relaxed
from workbench.model.model import Model
from workbench.options import option
from workbench.result.metric import Axis, Control, Plot, number, share
from workbench.result.result import Result
from workbench.result.row_samples import samples_of
from workbench.result.tables import Rows, columns_from
from workbench.sampling.parts import answer_ids, choices_of, has_parts, marked_by_itself, pieces_of

_HOW = {"plain": (False, False), "mask": (True, False), "position": (False, True)}
_FREE = (True, True)
TIE = 2e-4
"""Nats by which an answer must lead to be another first choice."""
_METRICS = {
    "spread": share("Total variation of the answer from its mean over orders.", "layout"),
    "range": share("Largest less smallest probability of the likeliest answer.", "layout"),
    "flips": share("Orders with another first choice than most orders.", "layout"),
    "gap": number("proportion", "Largest ‖a − b‖/‖b‖ of next-token logits.", "layout"),
    "correct": share("Orders whose first choice is the label.", "layout"),
}
_CONTROLS = {"free": Control("order-free", "set-based prompting, which no order can move")}
_COLUMNS = columns_from("""
    text: Number of the text, from 0.
    order: Parts in the order in which they stand, counted from 0.
    answer: The likeliest answer.
    p (probability): Of that answer.
""")


@probe("order-sensitivity", source="McIlroy-Young et al. 2024, arXiv:2406.06581")
@dataclass(frozen=True, kw_only=True)
class OrderSensitivity:
    """Reorder the parts of a prompt, and measure how far the answer moves.

    A text marks its parts, `Options:{{ one;|| two;}} Answer:`; without marks its lines, sentences
    or words are the parts. Each order is run as plain text, with parts that do not see each other
    (mask only), with parts that begin at one position (position only), and with both: set-based
    prompting, which no order can move and which is the control. The answer is the next token, or
    one of the strings in the row's field `choices`, scored by the chain rule.

    Units: spread, range, flips and correct are proportions; the gap is a relative error of logits.

    Raises:
        BadRows: no text has two parts, or choices are no list of texts.

    Source: section 3. We differ: the two halves of the method are run by themselves as well.
    """

    orders: int = option(24, help="Most orders of a text; more are drawn.", low=2, high=5040)
    layouts: str = option("plain,mask,position", help="What is compared with set-based prompting.")

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        layouts = self._layouts()
        rows: Rows = []
        seen: Rows = []
        for done, example in enumerate(examples):
            asked = _Asked(model, example)
            if asked.n_parts > 1:
                orders = self._orders(asked, context)
                free = asked.numbers(orders, _FREE)[0]
                for layout in layouts:
                    numbers, told = asked.numbers(orders, _HOW[layout])
                    beside = {f"{name}_free": x for name, x in free.items()}
                    rows.append({"text": example.number, "layout": layout, **numbers, **beside})
                    seen += told if layout == "plain" else []
            context.progress(done + 1, len(examples), "texts")
        if not rows:
            raise BadRows("no text has two parts", hint="mark them: Options:{{ one;|| two;}} So")
        return _report(rows, seen, layouts, len(examples))

    def _layouts(self) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(part.strip() for part in self.layouts.split(",")))
        if set(names) - set(_HOW):
            raise BadOption(f"layouts is {self.layouts!r}; expected some of {', '.join(_HOW)}")
        return names

    def _orders(self, asked: "_Asked", context: Context) -> list[tuple[int, ...]]:
        m = asked.n_parts
        if math.factorial(m) <= self.orders:
            return list(permutations(range(m)))
        draw = context.stream(f"order-sensitivity {asked.key}")
        found = {tuple(range(m)): None}
        while len(found) < self.orders:
            found[tuple(int(i) for i in draw.permutation(m))] = None
        return list(found)


class _Asked:
    """One text with its parts and choices."""

    def __init__(self, model: Model, example: Example) -> None:
        text = example.text
        marked = text if has_parts(text) else marked_by_itself(text)
        self._model, self._example = model, example
        self._pieces = pieces_of(model.tokenizer, marked, source=example.source)
        self._block = next((p for p in self._pieces if isinstance(p, Parallel)), None)
        self.n_parts = len(self._block.branches) if self._block else 0
        self._texts = choices_of(example)
        self._choices: list[Ids] = answer_ids(model.tokenizer, self._texts)
        self.key = text_key(lay_out([self._pieces])[0].row(0))

    def numbers(
        self, orders: Sequence[tuple[int, ...]], how: tuple[bool, bool]
    ) -> tuple[dict[str, float], Rows]:
        """Run every order under one layout; return the numbers, and the answer of each."""
        prompts = [self._ordered(order, how) for order in orders]
        found = answers(self._model, prompts, [self._choices] * len(prompts))
        scores = torch.stack([self._scores(one) for one in found])
        p, best = scores.softmax(dim=1), first_choices(scores)
        logits = torch.stack([one.logits for one in found]).double()
        gap = (logits - logits[:1]).norm(dim=1) / logits[:1].norm(dim=1)
        top = int(best.mode().values)
        numbers = {
            "spread": float((p - p.mean(dim=0)).abs().sum(dim=1).mean() / 2),
            "range": float(p[:, top].max() - p[:, top].min()),
            "flips": float((best != top).double().mean()),
            "gap": float(gap.max()),
        }
        told = [self._told(i) for i in best.tolist()]
        if self._texts and self._example.label is not None:
            right = [answer.strip() == str(self._example.label).strip() for answer in told]
            numbers["correct"] = float(np.mean(right))
        return numbers, list(self._rows(orders, told, p))

    def _ordered(self, order: Sequence[int], how: tuple[bool, bool]) -> tuple[Piece, ...]:
        pieces = tuple(
            replace(piece, branches=tuple(piece.branches[i] for i in order))
            if isinstance(piece, Parallel) and piece is self._block
            else piece
            for piece in self._pieces
        )
        return relaxed(pieces, blind=how[0], aligned=how[1])

    def _scores(self, found: Answers) -> Float[Tensor, " answer"]:
        return found.total if self._choices else found.logits.double().log_softmax(dim=0)

    def _told(self, answer: int) -> str:
        return self._texts[answer] if self._texts else self._model.decode([answer])

    def _rows(
        self, orders: Sequence[tuple[int, ...]], told: Sequence[str], p: Tensor
    ) -> Iterator[dict[str, Any]]:
        for order, answer, each in zip(orders, told, p.amax(dim=1).tolist(), strict=True):
            place = " ".join(map(str, order))
            yield {"text": self._example.number, "order": place, "answer": answer, "p": each}


def first_choices(scores: Float[Tensor, "order answer"]) -> Int[Tensor, " order"]:
    """Return the likeliest answer of each order; what all but tie counts as the commonest one.

    Scores are in nats. In single precision the same numbers added up in another order differ by
    up to 5e-5 nats, so that a lead within `TIE` is no choice.
    """
    best = scores.argmax(dim=1)
    top = best.mode().values
    lead = scores.amax(dim=1) - scores[:, top]
    return torch.where(lead > TIE, best, top)


def _report(rows: Rows, seen: Rows, layouts: Sequence[str], n_given: int) -> Result:
    axes = {"layout": Axis(help="How the parts are run.", labels=tuple(layouts))}
    found = samples_of(rows, _METRICS, controls_of=_CONTROLS, axes_of=axes, n_given=n_given)
    first = {"layout": layouts[0]}
    estimates = [found.estimate(name, "free", first) for name in found.metrics]
    moves = estimates[0].told(
        "The order of the parts {}",
        "moves the answer",
        "moves the answer less than rounding does",
        "is not shown to move the answer",
    )
    return study_report(
        found,
        summary=f"{moves}; "
        f"the first choice is another one in {estimates[2].value or 0:.0%} of orders.",
        averages={"layouts": ("layout",)},
        rows={"answers": seen},
        columns=_COLUMNS,
        estimates=estimates,
        plots=(
            Plot(title="Spread of the answer", metrics=("spread", "flips"), axes=("layout",)),
            Plot(title="Gap of logits", metrics=("gap",), axes=("layout",), log_y=True),
        ),
    )
