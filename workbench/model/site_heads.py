"""Whether queries, keys, values and head averages belong to the heads they are filed under.

The checks follow from what attention is. A query changes its head's average at its own position
and nowhere else; a key changes its group's averages at its position and later; without the values
of a group the averages of its heads are zero, without its queries or keys they are not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.errors import Unsupported
from workbench.model.comparison import Comparison
from workbench.model.edits import Edit, Op
from workbench.model.site_probe import Probe, equal_rows, noise, sites_of
from workbench.model.sites import Kind, Site

_TELLING = (Kind.V, Kind.Q, Kind.ATTN_PATTERN)


def owned(probe: Probe, kind: Kind) -> list[Comparison]:
    """Edit the last head of a kind, each layer in a row of its own, and compare every `z`.

    The heads of `z` are told apart by whichever of values, queries and patterns there is.

    Raises:
        Unsupported: nothing tells the heads apart, or an edit has the effect of another kind.
    """
    model, asked = probe.model, kind
    if kind is Kind.Z:
        kind = next((k for k in _TELLING if model.backend.layers_with(k)), kind)
    layers = [site.layer or 0 for site in sites_of(model, kind)]
    if kind is Kind.Z or not set(layers) <= set(model.backend.layers_with(Kind.Z)):
        raise Unsupported(f"nothing in the model tells the heads of {kind} apart")
    rows = equal_rows(model, len(layers) + 1)
    found = _read(equal_rows(model, 2), kind, asked)
    before = [rows.read(Kind.Z)[layer][row] for row, layer in enumerate(layers)]
    heads = [_Heads(kind, layer, z, found[layer]) for layer, z in zip(layers, before, strict=True)]
    if kind in (Kind.Q, Kind.K):
        for head, z in zip(heads, _edited(rows, heads, _Heads.removal), strict=True):
            head.check_remains(z)
        after = _edited(rows, heads, _Heads.nudge)
        for head, z in zip(heads, after, strict=True):
            head.check_moved(z)
    else:
        after = _edited(rows, heads, _Heads.removal)
    return [head.comparison(z) for head, z in zip(heads, after, strict=True)]


def _read(few: Probe, kind: Kind, asked: Kind) -> dict[int, Tensor]:
    try:
        return few.read(kind)
    except Unsupported as error:
        if kind is asked:
            raise
        reason = f"only {kind} could tell the heads of {asked} apart, and {error.message}"
        raise Unsupported(reason, hint=error.hint) from error


def _edited(
    rows: Probe, heads: "Sequence[_Heads]", edit: "Callable[[_Heads, int], Edit]"
) -> list[Tensor]:
    """Return `z` of each head's layer, its row edited."""
    changed = rows.edited([edit(head, row) for row, head in enumerate(heads)]).read(Kind.Z)
    return [changed[head.layer][row] for row, head in enumerate(heads)]


@dataclass(frozen=True, eq=False)
class _Heads:
    """The last head of a kind in one layer, and the averages `z` of the unedited row."""

    kind: Kind
    layer: int
    before: Float[Tensor, "pos head d_head"]
    x: Tensor

    def removal(self, row: int) -> Edit:
        """Return the edit that takes the head away at every position."""
        site = Site(self.kind, self.layer)
        return Edit(site=site, op=Op.ABLATE, rows=(row,), heads=(self._n - 1,))

    def nudge(self, row: int) -> Edit:
        """Return the edit that changes the head at the last position but one."""
        at = self._at
        site, value = Site(self.kind, self.layer, (at,)), noise(self.x)[at]
        return Edit(site=site, op=Op.ADD, value=value, rows=(row,), heads=(self._n - 1,))

    def check_remains(self, after: Float[Tensor, "pos head d_head"]) -> None:
        """Refuse queries or keys without which the averages vanish, as without values."""
        if not torch.where(self._own, after, 0.0).any():
            raise Unsupported(f"{self.kind} in layer {self.layer} acts as a value does")

    def check_moved(self, after: Float[Tensor, "pos head d_head"]) -> None:
        """Refuse queries or keys that do not change what they are asked about."""
        at = self._at if self.kind is Kind.Q else -1
        mine = self._own[at]
        moved = torch.where(mine, after[at] - self.before[at], 0.0).float().norm()
        size = torch.where(mine, self.before[at], 0.0).float().norm()
        if not moved > torch.finfo(after.dtype).eps * size:
            raise Unsupported(f"{self.kind} in layer {self.layer} changes nothing in its own head")

    def comparison(self, after: Float[Tensor, "pos head d_head"]) -> Comparison:
        """Compare the averages of every other head, and those that should be zero."""
        nudged = self.kind in (Kind.Q, Kind.K)
        own = self._own if nudged else self._own.any(dim=0, keepdim=True).expand_as(self._own)
        found = torch.where(own, 0.0, after) if nudged else after
        what = f"an edit of the last head of {self.kind} in layer {self.layer} against the heads"
        wanted = torch.where(own, 0.0, self.before)
        return Comparison(what=f"{what} it may change", found=found[None], wanted=wanted[None])

    @property
    def _n(self) -> int:
        return self.x.shape[1 if self.kind is Kind.ATTN_PATTERN else 2]

    @property
    def _at(self) -> int:
        return max(self.before.shape[0] - 2, 0)

    @property
    def _own(self) -> Bool[Tensor, "pos head 1"]:
        """The averages that a nudge may change: those of the head's group, at its positions."""
        n_pos, n_heads, _ = self.before.shape
        own = torch.zeros(n_pos, n_heads, 1, dtype=torch.bool, device=self.before.device)
        last = self._at + 1 if self.kind is Kind.Q else n_pos
        own[self._at : last, n_heads - n_heads // self._n :] = True
        return own
