"""States behind choice questions: each asked once, read at named places of every layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray

from workbench.errors import DataError, TooLittleData
from workbench.methods.choices import batches
from workbench.methods.contracts import Context
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.tokens import pad
from workbench.result.result import Note, Result
from workbench.sampling.choice_scores import n_same, requests
from workbench.sampling.items import Item, items_of
from workbench.sampling.rendering import text_ids
from workbench.sampling.task import open_task

ASKED, PREMISE = "end of question", "end of premise"
_GIVEN = ("premise", "rules", "facts")
_EMBEDDED, _FINAL = Site(Kind.RESID_PRE, 0), Site(Kind.FINAL_NORM)


@dataclass(frozen=True, kw_only=True, eq=False)
class AskedItems:
    """Questions with two choices, as a model answered them.

    `ids` are the tokens up to the answer, `answers` the token each choice begins with, `logp` the
    log-probabilities of these tokens in nats. `states[place, site]` are vectors, one per question;
    `embedded` is the mean input embedding of each prompt. `n_long` more questions were too long
    for the model, or of the group of one that was.
    """

    items: tuple[Item, ...]
    ids: tuple[tuple[int, ...], ...]
    answers: Int[np.ndarray, "n 2"]
    logp: Float[np.ndarray, "n 2"]
    states: Mapping[tuple[str, Site], Float[np.ndarray, "n d_model"]]
    embedded: Float[np.ndarray, "n d_model"]
    n_long: int = 0

    def told(self, result: Result) -> Result:
        """Return a result about these questions that says how many were left out."""
        if not self.n_long:
            return result
        note = Note(f"{self.n_long} questions are too long for the model", "warning", "long")
        return replace(result, notes=(*result.notes, note))

    @property
    def gold(self) -> Int[np.ndarray, " n"]:
        """The right choice of each."""
        return np.array([item.gold for item in self.items])

    @property
    def margin(self) -> Float[np.ndarray, " n"]:
        """Log p of the first choice less that of the second."""
        return np.asarray(self.logp[:, 0] - self.logp[:, 1])

    @property
    def chosen(self) -> Int[np.ndarray, " n"]:
        """The choice of the model."""
        return np.asarray(self.logp.argmax(axis=1))

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """Where the choice is the right one."""
        return np.asarray(self.chosen == self.gold)

    @property
    def groups(self) -> NDArray[Any]:
        """The premise, model or pair that each belongs to: what folds and intervals keep whole."""
        return np.array([item.group or item.id for item in self.items])


def ask_task(
    model: Model, address: str, sites: Sequence[Site], context: Context, *, limit: int
) -> AskedItems:
    """Draw questions of a task and ask each once.

    Questions too long for the model are left out; those of a group stay together.

    Raises:
        TooLittleData: fewer than two questions are left.
        DataError: a question has not two choices, or both begin with the same token.
    """
    drawn = items_of(open_task(address), context.limit or limit, context.stream("problems"))
    strange = [i.id for i in drawn if len(i.choices) != 2]
    if strange:
        raise DataError(
            f"{len(strange)} questions have not two choices ({strange[0]})",
            hint="a task of yes/no questions, such as corr2cause, cladder or counterbench",
        )
    asked = {i.id: requests(model, i.prompt, i.choices, chat=False) for i in drawn}
    most = model.spec.max_positions
    long = {i.group or i.id for i in drawn if max(len(r.ids) for r in asked[i.id]) > most}
    items = [i for i in drawn if (i.group or i.id) not in long]
    if len(items) < 2:
        raise TooLittleData(
            f"{len(items)} of {len(drawn)} questions fit the {most} positions of the model",
            hint="shorter questions, or another model",
        )
    rows = [tuple(asked[i.id][0].ids[: asked[i.id][0].start]) for i in items]
    answers = np.array([[r.ids[r.start] for r in asked[i.id]] for i in items])
    if (answers[:, 0] == answers[:, 1]).any():
        raise DataError(
            f"the choices {list(items[0].choices)} begin with the same token",
            hint="a model whose tokenizer tells them apart",
        )
    found = _read(model, items, rows, answers, sites, context)
    return replace(found, n_long=len(drawn) - len(items))


def _read(
    model: Model,
    items: Sequence[Item],
    rows: Sequence[tuple[int, ...]],
    answers: Int[np.ndarray, "n 2"],
    sites: Sequence[Site],
    context: Context,
) -> AskedItems:
    """Run every different prompt once and keep what is read of it."""
    places = [_places(model, item, row) for item, row in zip(items, rows, strict=True)]
    known = [p for p in (ASKED, PREMISE) if all(p in one for one in places)]
    d = model.spec.d_model
    states = {(p, s): np.zeros((len(rows), d), np.float32) for p in known for s in sites}
    embedded, logp = np.zeros((len(rows), d), np.float32), np.zeros(answers.shape)
    owners: dict[tuple[int, ...], list[int]] = {}
    for i, row in enumerate(rows):
        owners.setdefault(row, []).append(i)
    done = 0
    for batch in batches(list(owners), len):
        trace = model.run(pad(batch).to(model.device), read=(*sites, _EMBEDDED, _FINAL))
        for at, row in enumerate(batch):
            logits = model.unembed(trace.row(at, _FINAL)[-1:], normed=True)
            told = torch.log_softmax(logits.double(), dim=-1)[0].cpu().numpy()
            for i in owners[row]:
                logp[i] = told[answers[i]]
                embedded[i] = trace.row(at, _EMBEDDED).float().mean(dim=0).cpu().numpy()
                for site in sites:
                    x = trace.row(at, site).float()
                    for place in known:
                        states[place, site][i] = x[places[i][place]].cpu().numpy()
        done += len(batch)
        context.progress(done, len(owners), "questions asked")
    return AskedItems(
        items=tuple(items), ids=tuple(rows), answers=answers, logp=logp,
        states=states, embedded=embedded,
    )  # fmt: skip


def _places(model: Model, item: Item, row: Sequence[int]) -> dict[str, int]:
    """Return the token at the end of the question and, where it has one, of what is given."""
    found = {ASKED: len(row) - 1}
    end = next((item.spans[name][1] for name in _GIVEN if name in item.spans), None)
    if end is not None:
        found[PREMISE] = max(0, n_same(text_ids(model.tokenizer, item.prompt[:end]), row) - 1)
    return found
