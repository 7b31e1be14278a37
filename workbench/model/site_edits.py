"""Edits that tell whether a site can be edited: one layer per row, and a row that is left alone."""

from jaxtyping import Float
from torch import Tensor

from workbench.model.edits import Edit, Op
from workbench.model.site_probe import Probe, noise
from workbench.model.sites import Kind, Site

_ABOVE_CHANCE = 10


def row_edits(unedited: Probe, kind: Kind) -> list[Edit]:
    """Return edits of that kind, the i-th layer that has it in row i.

    `unedited` is a probe of the same tokens, from whose first row their sizes are taken.
    """
    return [
        _edit(kind, layer if kind.has_layer else None, row, x)
        for row, (layer, x) in enumerate(unedited.read(kind).items())
    ]


def moved_too_little(
    before: Float[Tensor, "row pos d_vocab"], after: Float[Tensor, "row pos d_vocab"]
) -> list[int]:
    """Return the rows whose logits moved no more than those of the last row, which has no edit.

    Rows share a batch, so that rounding can move a row that was left alone.
    """
    gap = (after - before).double().nan_to_num().flatten(1).norm(dim=1)
    floor = float(gap[-1]) * _ABOVE_CHANCE
    return [row for row, moved in enumerate(gap[:-1].tolist()) if moved <= floor]


def _edit(kind: Kind, layer: int | None, row: int, x: Tensor) -> Edit:
    site = Site(kind, layer)
    if kind is Kind.ATTN_PATTERN:
        return Edit(site=site, op=Op.ABLATE, rows=(row,))
    return Edit(site=site, op=Op.ADD, value=noise(x), rows=(row,))
