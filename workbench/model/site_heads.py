"""Whether queries, keys, values and head averages belong to the heads they are filed under.

The checks follow from what attention is. A query changes its own position of its own head's
average and nothing else; a key changes its group's averages from its position on; without the
values of a group the averages of its heads are zero.
"""

import torch
from torch import Tensor

from workbench.errors import Unsupported
from workbench.model.comparison import Comparison
from workbench.model.edits import Edit, Op
from workbench.model.site_probe import Probe, equal_rows, noise, sites_of
from workbench.model.sites import Kind, Site

_KEY_AT = 1
_TELLING = (Kind.V, Kind.Q, Kind.ATTN_PATTERN)


def owned(probe: Probe, kind: Kind) -> list[Comparison]:
    """Edit the last head of a kind, each layer in a row of its own, and compare every `z`.

    The heads of `z` are told apart by whichever of values, queries and patterns there is.

    Raises:
        Unsupported: the model shows nothing that would tell its heads apart.
    """
    model = probe.model
    if kind is Kind.Z:
        kind = next((k for k in _TELLING if model.backend.layers_with(k)), kind)
    layers = [site.layer or 0 for site in sites_of(model, kind)]
    if kind is Kind.Z or not set(layers) <= set(model.backend.layers_with(Kind.Z)):
        raise Unsupported(f"nothing in the model tells the heads of {kind} apart")
    rows = equal_rows(model, len(layers))
    before, found = rows.read(Kind.Z), rows.read(kind)
    edits = [_edit(kind, layer, row, found[layer]) for row, layer in enumerate(layers)]
    after = rows.edited(edits).read(Kind.Z)
    return [
        _effect(kind, layer, before[layer][row], after[layer][row], found[layer])
        for row, layer in enumerate(layers)
    ]


def _edit(kind: Kind, layer: int, row: int, x: Tensor) -> Edit:
    if kind in (Kind.V, Kind.ATTN_PATTERN):
        heads = (x.shape[1 if kind is Kind.ATTN_PATTERN else 2] - 1,)
        return Edit(site=Site(kind, layer), op=Op.ABLATE, rows=(row,), heads=heads)
    at = x.shape[1] - 1 if kind is Kind.Q else _KEY_AT
    site, value = Site(kind, layer, (at,)), noise(x)[at]
    return Edit(site=site, op=Op.ADD, value=value, rows=(row,), heads=(x.shape[2] - 1,))


def _effect(kind: Kind, layer: int, before: Tensor, after: Tensor, x: Tensor) -> Comparison:
    n_pos, n_heads, _ = before.shape
    n_here = x.shape[1 if kind is Kind.ATTN_PATTERN else 2]
    own = torch.zeros(n_pos, n_heads, 1, dtype=torch.bool, device=before.device)
    first = {Kind.Q: n_pos - 1, Kind.K: _KEY_AT}.get(kind, 0)
    own[first:, n_heads - n_heads // n_here :] = True
    removes = kind in (Kind.V, Kind.ATTN_PATTERN)
    found = after if removes else torch.where(own, 0.0, after)
    what = f"an edit of the last head of {kind} in layer {layer} against the heads it may change"
    return Comparison(what=what, found=found[None], wanted=torch.where(own, 0.0, before)[None])
