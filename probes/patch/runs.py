"""Many patches in one batch: each row of it is one text with activations of another run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from probes.patch.metrics import Judge, judge_of
from probes.patch.pairs import Pair
from probes.patch.targets import Part, Target
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
Source = Callable[[Site, str], Tensor]
"""What a site is patched with: `pair late *shape` by site and kind of donor."""


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
    model: Model, group: Group, target: Target, kinds: Sequence[str], source: Source
) -> dict[str, Numbers]:
    """Patch every cell of a row of the map; return how far each patch moves the metric.

    `kinds` are "" for the donor of the pair, and controls. Where a patch would put back what is
    there already, as before the first token in which the texts differ, it is not run and moves
    nothing.
    """
    sources = {kind: {site: source(site, kind) for site in target.sites} for kind in kinds}
    n = _n_cells(group, target, sources[kinds[0]][target.sites[0]])
    found = {kind: np.full((len(group.pairs), n), np.nan) for kind in kinds}
    plan = []
    for i, (rc, _) in enumerate(group.columns):
        late = rc >= group.start.cut
        if target.cells == "place":
            found[kinds[0]][i, : len(rc)][~late] = 0.0
        cells = np.flatnonzero(late).tolist() if target.cells == "place" else range(n)
        known = [k for k in kinds if k != UNRELATED or group.others[i] is not None]
        plan += [(i, kind, cell) for kind in known for cell in cells]
    width = group.start.tokens.ids.shape[1] - group.start.cut
    size = max(1, _BUDGET // width)
    for at in range(0, len(plan), size):
        part = plan[at : at + size]
        for (i, kind, cell), moved in zip(
            part, _run(model, group, target, sources, part), strict=True
        ):
            found[kind][i, cell] = moved
    return found


def _n_cells(group: Group, target: Target, some: Tensor) -> int:
    if target.cells == "place":
        return max(len(rc) for rc, _ in group.columns)
    return some.shape[2] if target.cells == "head" else 1


def _run(
    model: Model,
    group: Group,
    target: Target,
    sources: Mapping[str, Mapping[Site, Tensor]],
    part: Sequence[tuple[int, str, int]],
) -> list[float]:
    """Run one batch of patches beside an unpatched row of each pair, and compare the two."""
    own = list(dict.fromkeys(i for i, _, _ in part))
    rows = (*own, *(i for i, _, _ in part))
    where: dict[int, list[int]] = {}
    for row, (i, _, cell) in enumerate(part, start=len(own)):
        place = int(group.columns[i][0][cell]) if target.cells == "place" else cell
        where.setdefault(place, []).append(row)
    edits = []
    for one in target.parts:
        given = {kind: x[one.site] for kind, x in sources.items()}
        values = [given[part[0][1]][own], torch.stack([given[kind][i] for i, kind, _ in part])]
        edits += [
            Edit(
                site=Site(one.site.kind, one.layer, (place,) if target.cells == "place" else None),
                op=Op.SET,
                value=torch.cat(values),
                rows=tuple(mine),
                heads=(place,) if target.cells == "head" else one.heads,
            )
            for place, mine in where.items()
        ]
    if group.is_late:
        states = group.start.captured[Site(Kind.RESID_PRE, target.layer)][list(rows)]
        logits = run_from(model, group.start, target.layer, states, rows=rows, edits=edits)
    else:
        batch = group.start.tokens.take(rows)
        again = [taken(edit, rows) for edit in group.edits]
        found = model.run(batch, edits=[*again, *edits], logits="last").logits
        logits = torch.as_tensor(found)[:, -1]
    scores = group.judge(logits, rows).double().cpu()
    base = dict(zip(own, scores[: len(own)].tolist(), strict=True))
    return [x - base[i] for x, (i, _, _) in zip(scores[len(own) :].tolist(), part, strict=True)]


def attributed(
    model: Model, group: Group, targets: Sequence[Target], source: Source
) -> list[Numbers]:
    """Return the first-order effect of every patch of each row, by one gradient of the receiver.

    The slope of the metric at the receiver times what the patch would add.
    """
    sites = tuple(dict.fromkeys(site for target in targets for site in target.sites))
    found = gradients(model, group.start.tokens, group.judge, at=sites, edits=group.edits).slopes
    cut, cells = group.start.cut, []
    for target in targets:
        n = _n_cells(group, target, group.start.captured[target.sites[0]])
        total = np.full((len(group.pairs), n), np.nan)
        for i, (rc, _) in enumerate(group.columns):
            total[i, : len(rc) if target.cells == "place" else n] = 0.0
        for part in target.parts:
            more = source(part.site, "") - group.start.captured[part.site]
            product = (found[part.site][:, cut:] * more).double()
            for i, (rc, _) in enumerate(group.columns):
                effect = _summed(product[i], rc - cut, target, part).cpu().numpy()
                total[i, : len(effect)] += effect
        cells.append(total)
    return cells


def _summed(
    product: Float[Tensor, "late *shape"], columns: NDArray[np.int64], target: Target, part: Part
) -> Float[Tensor, " cell"]:
    """Sum over what a cell is made of; places before the cut have no part in it."""
    if target.cells == "place":
        late = columns >= 0
        found = torch.zeros(len(columns), dtype=product.dtype)
        at = torch.from_numpy(columns[late]).to(product.device)
        found[torch.from_numpy(late)] = product[at].flatten(1).sum(dim=1).cpu()
        return found
    by_head = product.sum(dim=0).reshape(product.shape[1] if part.site.kind.has_heads else 1, -1)
    if target.cells == "head":
        return by_head.sum(dim=-1)
    return by_head[list(part.heads) if part.heads else slice(None)].sum().reshape(1)


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


def taken(edit: Edit, rows: Sequence[int]) -> Edit:
    """Return an edit of the batch of pairs for a batch of those rows."""
    return Edit(site=edit.site, op=edit.op, value=torch.as_tensor(edit.value)[list(rows)])
