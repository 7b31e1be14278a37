"""Many patches in one batch: each row of it is one text with one activation of another run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from probes.patch.metrics import Judge, judge_of
from probes.patch.pairs import Pair
from workbench.methods.contracts import Context
from workbench.methods.controls import draws
from workbench.model.edits import Edit, Op
from workbench.model.gradients import gradients
from workbench.model.late_start import Beginning, begin, run_from, starts_late
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.tokens import Tokens, pad

UNRELATED, ELSEWHERE, SAME = "unrelated", "elsewhere", "same"
_BUDGET = 4096  # tokens of one pass
Numbers = Float[np.ndarray, "pair cell"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Pairs of equally long texts: both runs of each, and where the patches come from.

    `columns[i]` are the receiver's and the donor's column of every aligned place of pair i;
    `others[i]` is the pair whose donor is the unrelated one, None where there is no other, and
    `elsewhere[i]` the donor's columns in other places.
    """

    pairs: Sequence[Pair]
    start: Beginning
    edits: Sequence[Edit]
    donors: Mapping[Site, Float[Tensor, "pair pos *shape"]]
    judge: Judge
    scores: tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]
    columns: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]
    others: Sequence[int | None]
    elsewhere: Sequence[NDArray[np.int64]]
    is_late: bool

    @property
    def difference(self) -> NDArray[np.float64]:
        """How much the metric of the donor's run is above that of the receiver's."""
        receiver, donor = self.scores
        return (donor - receiver).double().cpu().numpy()


def run_both(  # noqa: PLR0913 - both runs, and how they are judged
    model: Model,
    pairs: Sequence[Pair],
    sites: Sequence[Site],
    context: Context,
    *,
    metric: str,
    denoise: bool,
    noise: float,
) -> Group:
    """Run the clean and the corrupted texts of pairs of equal lengths once."""
    clean, corrupted = (pad([getattr(p, name) for p in pairs]) for name in ("clean", "corrupted"))
    noised = _noise(model, pairs, corrupted, context, noise)
    (of_receiver, edits), (of_donor, more) = (
        ((corrupted, noised), (clean, ())) if denoise else ((clean, ()), (corrupted, noised))
    )
    # The clean texts come first: what a model cannot run at all is told by the run without edits.
    donor = model.run(of_donor, read=sites, edits=more, logits="last") if denoise else None
    is_late = starts_late(model)
    cut = min(pair.n_same for pair in pairs) if is_late else 0
    start = begin(model, of_receiver, cut=cut, read=sites, edits=edits)
    donor = donor or model.run(of_donor, read=sites, edits=more, logits="last")
    last = (start.logits, torch.as_tensor(donor.logits)[:, -1])
    judge = judge_of(
        metric, [(p.answer, p.wrong) for p in pairs], *(last[::-1] if denoise else last)
    )
    rows = range(len(pairs))
    streams = [draw.spawn(2) for draw in draws(of_donor, context, "patching")]
    columns = [_columns(pair, denoise=denoise) for pair in pairs]
    return Group(
        pairs=pairs,
        start=start,
        edits=edits,
        donors=donor.activations,
        judge=judge,
        scores=(judge(last[0], rows), judge(last[1], rows)),
        columns=columns,
        others=[_other(i, len(pairs), s[0]) for i, s in enumerate(streams)],
        elsewhere=[_moved(c[1], s[1]) for c, s in zip(columns, streams, strict=True)],
        is_late=is_late,
    )


def patched(
    model: Model, group: Group, site: Site, kinds: Sequence[str], *, heads: bool
) -> dict[str, Numbers]:
    """Patch every cell of one layer; return how far each patch moves the metric.

    A cell is an aligned place, or with `heads` one head at every place. `kinds` are "" for the
    donor of the pair, and controls. Where a patch would put back what is there already, as before
    the first token in which the texts differ, it is not run and moves nothing.
    """
    sources = {kind: x for kind in kinds for x in [_source(group, site, kind)]}
    n = sources[kinds[0]].shape[2] if heads else max(len(rc) for rc, _ in group.columns)
    found = {kind: np.full((len(group.pairs), n), np.nan) for kind in kinds}
    plan = []
    for i, (rc, _) in enumerate(group.columns):
        late = rc >= group.start.cut
        if not heads:
            found[kinds[0]][i, : len(rc)][~late] = 0.0
        cells = range(n) if heads else np.flatnonzero(late).tolist()
        known = [k for k in kinds if k != UNRELATED or group.others[i] is not None]
        plan += [(i, kind, cell) for kind in known for cell in cells]
    width = group.start.tokens.ids.shape[1] - group.start.cut
    size = max(1, _BUDGET // width)
    for at in range(0, len(plan), size):
        part = plan[at : at + size]
        for (i, kind, cell), moved in zip(
            part, _run(model, group, site, sources, part, heads), strict=True
        ):
            found[kind][i, cell] = moved
    return found


def _run(
    model: Model,
    group: Group,
    site: Site,
    sources: Mapping[str, Tensor],
    part: Sequence[tuple[int, str, int]],
    heads: bool,
) -> list[float]:
    """Run one batch of patches beside an unpatched row of each pair, and compare the two."""
    own = list(dict.fromkeys(i for i, _, _ in part))
    rows = (*own, *(i for i, _, _ in part))
    some = sources[part[0][1]]
    values = torch.cat([some[own], torch.stack([sources[kind][i] for i, kind, _ in part])])
    where: dict[int, list[int]] = {}
    for row, (i, _, cell) in enumerate(part, start=len(own)):
        where.setdefault(cell if heads else int(group.columns[i][0][cell]), []).append(row)
    edits = [
        Edit(
            site=Site(site.kind, site.layer, None if heads else (place,)),
            op=Op.SET,
            value=values,
            rows=tuple(mine),
            heads=(place,) if heads else None,
        )
        for place, mine in where.items()
    ]
    if group.is_late:
        states = group.start.captured[Site(Kind.RESID_PRE, site.layer)][list(rows)]
        logits = run_from(model, group.start, site.layer or 0, states, rows=rows, edits=edits)
    else:
        batch = group.start.tokens.take(rows)
        again = [_taken(edit, rows) for edit in group.edits]
        found = model.run(batch, edits=[*again, *edits], logits="last").logits
        logits = torch.as_tensor(found)[:, -1]
    scores = group.judge(logits, rows).double().cpu()
    base = dict(zip(own, scores[: len(own)].tolist(), strict=True))
    return [x - base[i] for x, (i, _, _) in zip(scores[len(own) :].tolist(), part, strict=True)]


def attributed(model: Model, group: Group, sites: Sequence[Site], *, heads: bool) -> list[Numbers]:
    """Return the first-order effect of every patch of each site, by one gradient of the receiver.

    The slope of the metric at the receiver times what the patch would add.
    """
    tokens, cells = group.start.tokens, []
    found = gradients(model, tokens, group.judge, at=sites, edits=group.edits)
    for site in sites:
        slope, own, donor = found.slopes[site], found.trace.activations[site], group.donors[site]
        rows = []
        for i, (rc, dc) in enumerate(group.columns):
            product = (slope[i, rc] * (donor[i, dc] - own[i, rc])).double()
            rows.append(
                (product.sum(dim=-1).sum(dim=0) if heads else product.flatten(1).sum(dim=1)).cpu()
            )
        n = max(len(row) for row in rows)
        cells.append(
            np.stack([np.pad(r.numpy(), (0, n - len(r)), constant_values=np.nan) for r in rows])
        )
    return cells


def _source(group: Group, site: Site, kind: str) -> Float[Tensor, "pair late *shape"]:
    """Return the receiver's activations with those of a donor in every aligned place."""
    own, donors = group.start.captured[site], group.donors[site]
    found = own.clone()
    for i, (rc, dc) in enumerate(group.columns):
        late, other = rc >= group.start.cut, group.others[i]
        at = torch.from_numpy(rc[late] - group.start.cut)
        if kind == ELSEWHERE:
            found[i, at] = donors[i, torch.from_numpy(group.elsewhere[i][late])]
        elif kind != SAME and (kind != UNRELATED or other is not None):
            j = other if kind == UNRELATED and other is not None else i
            found[i, at] = donors[j, torch.from_numpy(dc[late])]
    return found


def _columns(pair: Pair, *, denoise: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    clean = np.array([place.clean for place in pair.places])
    corrupted = np.array([place.corrupted for place in pair.places])
    return (corrupted, clean) if denoise else (clean, corrupted)


def _other(i: int, n: int, draw: np.random.Generator) -> int | None:
    return int((i + draw.integers(1, n)) % n) if n > 1 else None


def _moved(columns: NDArray[np.int64], draw: np.random.Generator) -> NDArray[np.int64]:
    """Return for each place the column of another one, drawn at random."""
    n = len(columns)
    return columns[(np.arange(n) + draw.integers(1, n, size=n)) % n] if n > 1 else columns


def _noise(
    model: Model, pairs: Sequence[Pair], tokens: Tokens, context: Context, size: float
) -> tuple[Edit, ...]:
    """Return the edit that adds noise to embeddings, `size` times as wide as they spread."""
    if not any(pair.noised for pair in pairs):
        return ()
    vectors = model.embed(tokens.ids.to(model.device))
    noise = torch.zeros(vectors.shape)
    for i, draw in enumerate(draws(tokens, context, "patching noise")):
        at = list(pairs[i].noised)
        drawn = torch.from_numpy(draw.standard_normal((len(at), vectors.shape[-1]))).float()
        noise[i, at] = drawn * size * float(vectors[i].float().std())
    return (Edit(site=Site(Kind.EMBED), op=Op.ADD, value=noise),)


def _taken(edit: Edit, rows: Sequence[int]) -> Edit:
    return Edit(site=edit.site, op=edit.op, value=torch.as_tensor(edit.value)[list(rows)])
