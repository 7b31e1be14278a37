"""Whether a model's answer follows what its state says of the right answer: swaps between pairs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int

from probes.asked_states import fold_of
from workbench.errors import BadOption
from workbench.methods.contracts import Context, Example
from workbench.methods.eraser import Whitening, leace, one_hot
from workbench.methods.registry import probe
from workbench.methods.study_report import study_report
from workbench.model.edits import Edit, Op
from workbench.model.late_start import Beginning, begin, run_from, starts_late
from workbench.model.model import Model
from workbench.model.site_patterns import expand
from workbench.model.sites import Kind, Site
from workbench.model.tokens import Tokens, pad
from workbench.options import option
from workbench.result.metric import Control, Metric, Plot
from workbench.result.result import Note, Result
from workbench.result.row_samples import samples_of
from workbench.sampling.choice_states import ASKED, AskedItems, ask_task

_LIMIT, _BATCH_TOKENS, _LEAST = 100, 4096, 1e-6
_METRICS = {
    "follows": Metric(
        unit="proportion",
        help="Answers that are the computed one of the other premise.",
        bounds=(0.0, 1.0),
    ),
    "moved": Metric(
        unit="share of the difference", help="How far the margin goes to that of the other."
    ),
}
_CONTROLS = {
    "random": Control("random direction", "a random direction of the same space is swapped"),
    "none": Control("no swap", "nothing is swapped"),
    "whole": Control("whole state", "the whole state of the other question takes its place"),
}
Changes = Mapping[str, Sequence[Float[np.ndarray, "n d_model"]]]


@probe("choice-swap", source="Geiger et al. 2021, arXiv:2106.02997; Belrose et al. 2023")
@dataclass(frozen=True, kw_only=True)
class ChoiceSwap:
    """Swap what a state says of the answer between minimal pairs, and see whether answers follow.

    Two premises of a pair differ in one edge or rule and ask the same, once with Yes and once with
    No, both computed. At the end of the question, the component of the state along which the right
    answer is linearly readable (LEACE, fitted to the pairs of other parts) is replaced by that of
    the other question, one layer at a time. `follows` is the share of answers that then are the
    computed one of the other premise, `moved` how far the margin log p(Yes) − log p(No) goes from
    its own to that of the other: 0 not at all, 1 all the way. Controls: no swap, a random
    direction, and the whole state, which bounds what any component can do.

    Units: proportions; intervals resample pairs. Off: a state put back as it is changes no bit.

    Raises:
        TooLittleData: fewer pairs than folds.
        BadOption: the task has no minimal pairs.

    Source: interchange interventions of Geiger et al. with the subspace of Belrose et al.,
    arXiv:2306.03819; the labels of what should come out are computed.
    """

    default_task: ClassVar[str] = "corr2cause?nodes=4"

    layers: str = option("*", help="Layers to swap at: all, or a slice such as 10:20:2.")
    n_folds: int = option(5, help="Parts of the pairs, each held out once.", low=2, high=100)
    draws: int = option(4, help="Random directions of each part.", low=1, high=100)

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        sites = expand([f"resid_post.{self.layers}"], model.spec)
        asked = ask_task(model, context.task or self.default_task, sites, context, limit=_LIMIT)
        other = partners(asked)
        fold = fold_of(asked, self.n_folds, context)
        changes = {site: self._changes(asked, site, other, fold, context) for site in sites}
        margins = swapped(model, asked, changes, context)
        rows = [row for key, m in margins.items() for row in _rows(asked, other, key, m, margins)]
        return asked.told(_report(rows))

    def _changes(
        self,
        asked: AskedItems,
        site: Site,
        other: Int[np.ndarray, " n"],
        fold: Int[np.ndarray, " n"],
        context: Context,
    ) -> dict[str, list[Float[np.ndarray, "n d_model"]]]:
        """Return what is added to each state, by kind: the difference along a subspace."""
        x = asked.states[ASKED, site].astype(np.float64)
        step = x[other] - x
        draw = context.stream(f"swap directions {site}")
        own = np.zeros_like(x)
        drawn = [np.zeros_like(x) for _ in range(self.draws)]
        labels = np.array([item.answer for item in asked.items])
        for part in np.unique(fold):
            train, test = x[fold != part], fold == part
            found = leace(train, one_hot(list(labels[fold != part])), shrinkage=True)
            own[test] = found.component(step[test] + found.mean)
            space = Whitening.of(train, shrinkage=True)
            for one in drawn:
                blind = space.random(max(1, found.rank), draw)
                one[test] = blind.component(step[test] + blind.mean)
        return {"": [own], "none": [np.zeros_like(x)], "random": drawn, "whole": [step]}


def partners(asked: AskedItems) -> Int[np.ndarray, " n"]:
    """Return the other question of each minimal pair.

    Raises:
        BadOption: a group is no pair of questions with different answers.
    """
    found = np.full(len(asked.items), -1)
    for group in np.unique(asked.groups):
        mine = np.flatnonzero(asked.groups == group)
        if len(mine) == 2 and len(set(asked.gold[mine])) == 2:
            found[mine] = mine[::-1]
    if (found < 0).any():
        name = asked.groups[found < 0][0]
        raise BadOption(
            f"{name} is no pair of questions with different answers; expected minimal pairs",
            hint="--task corr2cause or counterbench, drawn, with an even --limit",
        )
    return found


def swapped(
    model: Model, asked: AskedItems, changes: Mapping[Site, Changes], context: Context
) -> dict[tuple[Site, str, int], Float[np.ndarray, " n"]]:
    """Return the margins with each change added to the state at the end of each question, in nats.

    What stands before is run once: a change at the last token moves nothing else.
    """
    plan = [
        (site, kind, i, change)
        for site, some in changes.items()
        for kind, each in some.items() for i, change in enumerate(each)
    ]  # fmt: skip
    found = {(site, kind, i): np.zeros(len(asked.items)) for site, kind, i, _ in plan}
    done, is_late = 0, starts_late(model)
    for rows in _equally_long(asked):
        batch = pad([asked.ids[r] for r in rows]).to(model.device)
        start = begin(model, batch, cut=batch.ids.shape[1] - 1) if is_late else None
        for site, kind, i, change in plan:
            edit = Edit(
                site=Site(site.kind, site.layer, (batch.ids.shape[1] - 1,)),
                op=Op.ADD,
                value=torch.from_numpy(change[rows]).float()[:, None].to(model.device),
                enabled=bool(change.any()),
            )
            found[site, kind, i][rows] = _margins(model, batch, start, edit, asked.answers[rows])
        done += len(rows)
        context.progress(done, len(asked.items), "questions swapped")
    return found


def _equally_long(asked: AskedItems) -> Iterator[list[int]]:
    lengths: dict[int, list[int]] = {}
    for i, ids in enumerate(asked.ids):
        lengths.setdefault(len(ids), []).append(i)
    for length, rows in sorted(lengths.items()):
        size = max(1, _BATCH_TOKENS // length)
        yield from (rows[at : at + size] for at in range(0, len(rows), size))


def _margins(
    model: Model,
    batch: Tokens,
    start: Beginning | None,
    edit: Edit,
    answers: Int[np.ndarray, "n 2"],
) -> Float[np.ndarray, " n"]:
    if start is None:
        logits = torch.as_tensor(model.run(batch, edits=[edit], logits="last").logits)[:, -1]
    else:
        layer, rows = edit.site.layer or 0, range(len(batch.ids))
        states = start.captured[Site(Kind.RESID_PRE, layer)]
        logits = run_from(model, start, layer, states, rows=rows, edits=[edit])
    told = torch.log_softmax(logits.double(), dim=-1).cpu().numpy()
    at = np.arange(len(told))
    return np.asarray(told[at, answers[:, 0]] - told[at, answers[:, 1]])


def _rows(
    asked: AskedItems,
    other: Int[np.ndarray, " n"],
    key: tuple[Site, str, int],
    margin: Float[np.ndarray, " n"],
    margins: Mapping[tuple[Site, str, int], Float[np.ndarray, " n"]],
) -> list[dict[str, Any]]:
    """Return what one kind of swap did to each question."""
    site, kind, _ = key
    own = margins[site, "none", 0]
    away = own[other] - own
    follows = np.where(margin > 0, 0, 1) == asked.gold[other]
    return [
        {
            "item": item.id, "pair": item.group, "layer": site.layer, "kind": kind,
            "follows": float(follows[i]),
            "moved": float((margin[i] - own[i]) / away[i]) if abs(away[i]) > _LEAST else None,
        }
        for i, item in enumerate(asked.items)
    ]  # fmt: skip


def _report(rows: Sequence[Mapping[str, Any]]) -> Result:
    found = samples_of(
        rows, _METRICS, by=("item",), group="pair", kind="kind", unit="questions",
        controls_of=_CONTROLS,
    )  # fmt: skip
    layers = found.axes_of["layer"].labels
    gain = found.mean("follows").value - found.mean("follows", "random").value
    best = int(gain.argmax())
    told = found.estimate("follows", "random", {"layer": layers[best]}, f"layer {layers[best]}")
    none = float(found.mean("follows", "none").value.mean())
    moves = bool(told.low is not None and told.low > (told.control or 0.0))
    lead = "Answers follow the swap" if moves else "Answers do not follow the swap"
    return study_report(
        found,
        summary=f"{lead}: most at {told}; {none:.3g} without a swap.",
        averages={"layers": ("layer",)},
        plots=(
            Plot(title="Answers that follow the swap", metrics=("follows",)),
            Plot(title="How far the margin moves", metrics=("moved",)),
        ),
        notes=(Note("the layer of the summary is the best of all, and so flattered", "info",
                    "best"),),
    )  # fmt: skip
