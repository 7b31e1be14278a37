"""The positions that sites choose, counted over the real tokens of each row."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.errors import UnknownName
from workbench.model.edits import positions_mask
from workbench.model.sites import Kind, Site


class Places:
    """Chooses positions in one pass; where they lie is worked out once for all sites.

    `mask` marks the real tokens of everything seen so far. With the same mask on the processor as
    `near`, nothing is asked of a device.
    """

    def __init__(
        self,
        mask: Bool[Tensor, "batch seen"],
        near: Bool[Tensor, "batch seen"] | None = None,
    ) -> None:
        """Begin with nothing worked out."""
        self._mask = mask if near is None else near
        self._known: dict[object, tuple[Tensor, Tensor] | slice] = {}

    def select(
        self, x: Float[Tensor, "batch *shape"], site: Site
    ) -> Float[Tensor, "batch *chosen"]:
        """Keep the positions that the site asks for of each row; x covers the last ones seen.

        Of an attention pattern, `batch head query key`, they are queries.

        Raises:
            UnknownName: a row is too short for a position.
        """
        if site.positions is None:
            return x
        if site.kind is Kind.ATTN_PATTERN:
            return self._selected(x.transpose(1, 2), site.positions).transpose(1, 2)
        return self._selected(x, site.positions)

    def _selected(self, x: Tensor, positions: Sequence[int]) -> Tensor:
        key = (tuple(positions), x.shape[1], x.device)
        if key not in self._known:
            self._known[key] = self._index(positions, x.shape[1], x.device)
        index = self._known[key]
        return x[:, index].clone() if isinstance(index, slice) else x[index]

    def _index(
        self, positions: Sequence[int], width: int, device: torch.device
    ) -> tuple[Tensor, Tensor] | slice:
        columns = torch.stack([self._column(p, width) for p in positions], dim=1)
        if columns.device.type == "cpu" and len(positions) == 1:
            first = int(columns[0, 0])
            if bool((columns == first).all()):
                return slice(first, first + 1)
        return torch.arange(len(columns), device=device)[:, None], columns.to(device)

    def _column(self, position: int, width: int) -> Int[Tensor, " batch"]:
        hit = positions_mask(self._mask, (position,))[:, -width:]
        has_one = hit.any(dim=1)
        if not bool(has_one.all()):
            short = [int(i) for i in (~has_one).nonzero().flatten()]
            raise UnknownName(
                f"rows {short} have no token at position {position}",
                hint="use longer texts or another position",
            )
        return hit.long().argmax(dim=1)


def select(
    x: Float[Tensor, "batch *shape"], mask: Bool[Tensor, "batch seen"], site: Site
) -> Float[Tensor, "batch *chosen"]:
    """Keep the positions that one site asks for of each row.

    Raises:
        UnknownName: a row is too short for a position.
    """
    return Places(mask).select(x, site)
