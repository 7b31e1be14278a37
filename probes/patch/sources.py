"""What is patched in: activations of a donor, or one's own with what a sender writes changed."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from probes.patch.runs import ELSEWHERE, SAME, UNRELATED, Group, taken
from probes.patch.targets import Part
from workbench.model.edits import Edit, Op
from workbench.model.model import Model
from workbench.model.sites import Kind, Site

_STREAMS = (Kind.RESID_PRE, Kind.RESID_MID, Kind.RESID_POST)


def donated(group: Group, site: Site, kind: str) -> Float[Tensor, "pair late *shape"]:
    """Return the receiver's activations with those of a donor in every aligned place.

    `kind` is "" for the donor of the pair, or that of a control.
    """
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


class Paths:
    """What sites hold where the sender's write alone has changed, all between held as it was.

    With every head and feed-forward block between held, the stream before a receiver is the
    receiver's own one and what the sender writes more.

    Source: Wang et al. 2022, arXiv:2211.00593, appendix B; we hold the feed-forward blocks too.
    """

    def __init__(self, model: Model, group: Group, sender: Part) -> None:
        """Remember the sender; what it writes is computed once per kind of donor."""
        self.model, self.group, self.sender = model, group, sender
        self._known: dict[str, Tensor] = {}

    def __call__(self, site: Site, kind: str) -> Float[Tensor, "pair late *shape"]:
        """Return what the site holds, as `donated` does."""
        more = self._written(kind)
        own = self.group.start.captured[site]
        if site.kind in _STREAMS:
            return own + more
        before = Kind.RESID_MID if site.kind is Kind.MLP_OUT else Kind.RESID_PRE
        if not self.model.backend.supports(before, edit=True):
            before = Kind.RESID_PRE  # attention and the feed-forward block read the same stream
        return own + self._apart(site, Site(before, site.layer), Op.ADD, (more, more * 0.0))

    def _written(self, kind: str) -> Float[Tensor, "pair late d_model"]:
        """Return what the sender adds to the stream with a donor's activations, less its own."""
        if kind not in self._known:
            site, own = self.sender.site, self.group.start.captured[self.sender.site]
            given = donated(self.group, site, kind)
            self._known[kind] = (
                self._apart(Site(Kind.ATTN_OUT, site.layer), site, Op.SET, (given, own))
                if site.kind is Kind.Z
                else given - own
            )
        return self._known[kind]

    def _apart(
        self, read: Site, site: Site, op: Op, values: Sequence[Tensor]
    ) -> Float[Tensor, "pair late *shape"]:
        """Return how far apart a site is in two passes with an edit, side by side in one batch."""
        group, n = self.group, len(self.group.pairs)
        cut, width = group.start.cut, group.start.tokens.ids.shape[1]
        value = torch.cat(list(values))
        if cut:
            # Before the cut both texts are the same, and so are both values.
            begun = torch.zeros_like(value[:, :1]).expand(-1, cut, *value.shape[2:])
            value = torch.cat([begun, value], dim=1)
        rows = [*range(n), *range(n)]
        where = Site(site.kind, site.layer, tuple(range(cut, width)))
        heads = self.sender.heads if site.kind.has_heads else None
        edit = Edit(site=where, op=op, value=value, heads=heads)
        edits = [*(taken(e, rows) for e in group.edits), edit]
        trace = self.model.run(group.start.tokens.take(rows), read=[read], edits=edits)
        found = trace.activations[read]
        return (found[:n] - found[n:])[:, cut:].to(values[0].device)
