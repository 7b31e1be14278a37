"""Steering: a direction from contrasting texts, added to the stream in growing doses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from probes.steer.direction import direction_of, given_vector
from probes.steer.report import report
from workbench.errors import BadOption, BadRows
from workbench.methods.contracts import Context, Example, Stopped
from workbench.methods.labels import check_labels
from workbench.methods.next_token import compare, following_tokens, next_token
from workbench.methods.registry import probe
from workbench.methods.splits import folds
from workbench.methods.text_vectors import text_vectors
from workbench.model.edits import Edit, Op
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.options import option
from workbench.result.result import Result
from workbench.result.tables import Rows
from workbench.runs.reading import read_examples
from workbench.runs.spec import DataRef

_FINAL = Site(Kind.FINAL_NORM)
_ROWS, _BEGINNING = 16, 12


@probe("steering", source="Rimsky et al. 2023, arXiv:2312.06681; Turner et al. 2023")
@dataclass(frozen=True, kw_only=True)
class Steering:
    """Add a direction found from two kinds of texts, and measure what each dose of it does.

    The direction points from one label to the other: the difference of their means, the first
    principal component of the differences within groups, a linear discriminant, or a given vector.
    A dose of 1 is as long as the difference of the means, added at every token. On the half of the
    texts that it was not fitted to, the shift is how much likelier texts of the target side become
    and how much less likely the others. On neutral prompts, KL and repetition say what it costs.
    Control: random directions of the same length. The direction is kept as an edit: `run:RUN:DOSE`
    where an edit is typed.

    Units: shift and KL in nats per token; doses in lengths of the difference.

    Raises:
        BadRows: labels are missing, or there are not two of them.

    Source: contrastive activation addition; we add at every token, prompts included.
    """

    label_words: ClassVar = "the two sides of the contrast"

    method: Literal["mean", "pca", "probe", "given"] = option(
        "mean", help="How the direction is found."
    )
    vector: str = option("", help="For given: FILE.safetensors[key].")
    towards: str = option("", help="Label to steer to; default: the last in the alphabet.")
    layer: int | None = option(None, help="Layer after which it is added; default: the middle.")
    states: Literal["last", "mean"] = option("mean", help="Last token of a text, or mean of all.")
    doses: str = option("-4,-2,-1,-0.5,0,0.5,1,2,4", help="Comma-separated doses.")
    randoms: int = option(3, help="Random directions for comparison.", low=1, high=100)
    neutral: str = option("shipped:prompts.jsonl", help="File of neutral prompts.")
    prompts: int = option(8, help="Neutral prompts.", low=1, high=10_000)
    new_tokens: int = option(24, help="Tokens that are written at each dose.", low=3, high=4096)

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        doses = self._doses()
        site = Site(Kind.RESID_POST, model.spec.n_layers // 2 if self.layer is None else self.layer)
        site = site.resolve(model.spec)
        signs, groups, target = self._sides(examples)
        half = folds(signs, groups, n_folds=2, generator=context.stream("steering halves"))
        where = Site(site.kind, site.layer, (-1,) if self.states == "last" else None)
        fitted = [e.text for e, fold in zip(examples, half, strict=True) if fold == 0]
        x = text_vectors(model, fitted, [where], context)[where]
        given = given_vector(self.vector, model.spec.d_model) if self.method == "given" else None
        direction = direction_of(self.method, x, signs[half == 0], groups[half == 0], given)
        ways = [direction, *self._randoms(direction, context)]
        rest = [
            (e.text, int(sign), str(group))
            for e, sign, group, fold in zip(examples, signs, groups, half, strict=True)
            if fold == 1
        ]
        neutral, _ = read_examples(DataRef(path=self.neutral, limit=self.prompts))
        texts = _Texts(model, [text for text, _, _ in rest])
        prompts = _Texts(model, [e.text for e in neutral], limit=64)
        found: dict[float, tuple[Rows, Rows, Rows]] = {}
        stopped: KeyboardInterrupt | None = None
        try:
            # The smallest first: stopped early, the slope through 0 is known.
            for dose in sorted(doses, key=abs):
                edits = [() if not dose else _edit(site, way, dose) for way in ways]
                found[dose] = (
                    list(self._shifts(texts, context, edits, dose, rest)),
                    list(self._costs(prompts, context, edits, dose)),
                    list(prompts.responses(edits[0], dose, self.new_tokens)),
                )
                context.progress(len(found), len(doses), "doses")
        except KeyboardInterrupt as stop:
            if len(found) < 2:
                raise
            stopped = stop
        result = report(found, direction.numpy(), site, target)
        if stopped is not None:
            raise Stopped(result) from stopped
        return result

    def _doses(self) -> tuple[float, ...]:
        try:
            doses = tuple(sorted({float(part) for part in self.doses.split(",")} | {0.0}))
        except ValueError as error:
            raise BadOption(f"doses is {self.doses!r}; expected numbers and commas") from error
        if len(doses) < 2 or not np.isfinite(doses).all():
            raise BadOption(f"doses is {self.doses!r}; expected one that is not 0", hint="-1,1")
        return doses

    def _sides(
        self, examples: Sequence[Example]
    ) -> tuple[Int[np.ndarray, " n"], NDArray[np.generic], str]:
        check_labels(examples, target="classes", n_folds=2)
        labels = [str(example.label) for example in examples]
        known = sorted(set(labels))
        target = self.towards or known[-1]
        if len(known) != 2 or target not in known:
            raise BadRows(
                f"the labels are {', '.join(known[:5])}, and {target!r} is steered to; "
                "expected two labels and one of them",
                hint="name the field with --label, the side with --towards",
            )
        groups = np.array([e.group or f"\0{i}" for i, e in enumerate(examples)])
        return np.array([1 if label == target else -1 for label in labels]), groups, target

    def _randoms(self, direction: Tensor, context: Context) -> Iterator[Tensor]:
        for k in range(self.randoms):
            draw = context.stream(f"steering direction {k}").standard_normal(len(direction))
            way = torch.from_numpy(draw).float()
            yield way * direction.norm() / way.norm()

    def _shifts(
        self,
        texts: "_Texts",
        context: Context,
        edits: Sequence[Sequence[Edit]],
        dose: float,
        rest: Sequence[tuple[str, int, str]],
    ) -> Iterator[dict[str, Any]]:
        """Return how far each held-out text moved to its own side's way, per token."""
        signs, base = np.array([sign for _, sign, _ in rest]), texts.nll(context, ())
        shifts = [(base - texts.nll(context, edit)) * signs for edit in edits]
        for i, (mine, *others) in enumerate(zip(*shifts, strict=True)):
            null = float(np.mean(others))
            about = {"text": i, "pair": rest[i][2], "dose": dose}
            yield {**about, "shift": mine, "shift_random": null}

    def _costs(
        self, prompts: "_Texts", context: Context, edits: Sequence[Sequence[Edit]], dose: float
    ) -> Iterator[dict[str, Any]]:
        kl = [prompts.kl(context, e) for e in edits]
        # One random direction is enough for what is written, which costs the most.
        repeated = [prompts.repetition(e, self.new_tokens) for e in edits[:2]]
        for i, (mine, *others) in enumerate(zip(*kl, strict=True)):
            yield {
                "text": i,
                "dose": dose,
                "kl": mine,
                "kl_random": float(np.mean(others)),
                "repeated": repeated[0][i],
                "repeated_random": repeated[1][i],
            }


class _Texts:
    """Texts in batches, run with edits; what was run once is remembered."""

    def __init__(self, model: Model, texts: Sequence[str], limit: int | None = None) -> None:
        self.model, self._known = model, dict[tuple[Any, ...], Any]()
        self.batches = [
            model.tokenize(texts[at : at + _ROWS], limit=limit)
            for at in range(0, len(texts), _ROWS)
        ]
        self.beginnings = [
            model.tokenize(texts[at : at + _ROWS], limit=_BEGINNING, side="left")
            for at in range(0, len(texts), _ROWS)
        ]

    def states(self, edits: Sequence[Edit]) -> list[Float[Tensor, "batch pos d_model"]]:
        """Return the final states of every batch."""
        if not edits and () in self._known:
            return list(self._known[()])
        found = [
            self.model.run(batch, read=(_FINAL,), edits=edits).activations[_FINAL]
            for batch in self.batches
        ]
        if not edits:
            self._known[()] = found
        return found

    def nll(self, context: Context, edits: Sequence[Edit]) -> Float[np.ndarray, " n"]:
        """Return the mean −ln p of each text's tokens after the first."""
        found = []
        for batch, states in zip(self.batches, self.states(edits), strict=True):
            goal = following_tokens(batch.ids, batch.mask)
            nll = next_token(states, goal, context, normed=True).nll
            found.append(nll.double().nanmean(dim=1).cpu().numpy())
        return np.concatenate(found)

    def kl(self, context: Context, edits: Sequence[Edit]) -> Float[np.ndarray, " n"]:
        """Return the mean KL(unsteered‖steered) of each text's tokens."""
        found = []
        for batch, a, b in zip(self.batches, self.states(()), self.states(edits), strict=True):
            kl = compare(a, b, context)[0].double().masked_fill(~batch.mask.to(a.device), torch.nan)
            found.append(kl.nanmean(dim=1).cpu().numpy())
        return np.concatenate(found)

    def written(self, edits: Sequence[Edit], limit: int) -> list[tuple[int, ...]]:
        """Return the likeliest continuation of each text's beginning."""
        key = (limit, *(id(edit.value) for edit in edits))
        if key not in self._known:
            traces = [
                self.model.generate(batch, limit=limit, edits=edits) for batch in self.beginnings
            ]
            # The edits are kept as well, so that no other one gets their place in memory.
            self._known[key] = (edits, [ids for trace in traces for ids in trace.generated])
        found: list[tuple[int, ...]] = self._known[key][1]
        return found

    def repetition(self, edits: Sequence[Edit], limit: int) -> list[float]:
        """Return the share of trigrams of each continuation that were there before."""
        return [repeated_share(ids) for ids in self.written(edits, limit)]

    def responses(self, edits: Sequence[Edit], dose: float, limit: int) -> Iterator[dict[str, Any]]:
        """Return the continuations as rows."""
        beginnings = [batch.row(i) for batch in self.beginnings for i in range(len(batch.ids))]
        for i, (ids, start) in enumerate(zip(self.written(edits, limit), beginnings, strict=True)):
            prompt, response = self.model.decode(start), self.model.decode(ids)
            yield {"text": i, "dose": dose, "prompt": prompt, "response": response}


def repeated_share(ids: Sequence[int]) -> float:
    """Return the share of trigrams that stand earlier in the same text; NaN where there is none."""
    grams = [tuple(ids[i : i + 3]) for i in range(len(ids) - 2)]
    return 1 - len(set(grams)) / len(grams) if grams else float("nan")


def _edit(site: Site, way: Tensor, dose: float) -> tuple[Edit, ...]:
    return (Edit(site=site, op=Op.ADD, value=way * dose),)
