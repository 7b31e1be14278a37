"""Rows of equal length taken out of a padded batch, and what they gave put back into it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from workbench.model.edits import Edit, Op, for_rows
from workbench.model.sites import Kind, Site
from workbench.model.tokens import Tokens, left_order


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """Where the tokens of some rows of equal length stand in a padded batch of `n` rows."""

    rows: tuple[int, ...]
    columns: Int[Tensor, "row pos"]
    n: int
    width: int

    def take(self, x: Shaped[Tensor, "batch width *shape"]) -> Shaped[Tensor, "row pos *shape"]:
        """Return the real positions of these rows."""
        rows = torch.tensor(self.rows, device=x.device)
        return x[rows[:, None], self.columns.to(x.device)]

    def put(self, whole: Tensor | None, part: Tensor) -> Tensor:
        """Write `row pos …` into `batch width …`, made of zeros if there is none yet."""
        if whole is None:
            whole = part.new_zeros((self.n, self.width, *part.shape[2:]))
        rows = torch.tensor(self.rows, device=part.device)
        whole[rows[:, None], self.columns.to(part.device)] = part
        return whole

    def put_site(self, whole: Tensor | None, part: Tensor, site: Site) -> Tensor:
        """Write what was read at a site, made of zeros if there is nothing yet."""
        if site.kind is Kind.ATTN_PATTERN:
            return self._put_pattern(whole, part, is_whole=site.positions is None)
        return self.put(whole, part) if site.positions is None else self.put_rows(whole, part)

    def _put_pattern(self, whole: Tensor | None, part: Tensor, *, is_whole: bool) -> Tensor:
        rows, keys = torch.tensor(self.rows, device=part.device), self.columns.to(part.device)
        n_heads, n_queries = part.shape[1:3]
        queries = keys if is_whole else torch.arange(n_queries, device=part.device)[None]
        if whole is None:
            whole = part.new_zeros(
                (self.n, n_heads, self.width if is_whole else n_queries, self.width)
            )
        whole[
            rows[:, None, None, None],
            torch.arange(n_heads, device=part.device)[None, :, None, None],
            queries[:, None, :, None],
            keys[:, None, None, :],
        ] = part
        return whole

    def put_rows(self, whole: Tensor | None, part: Tensor) -> Tensor:
        """Write whole rows of any shape, made of zeros if there are none yet."""
        if whole is None:
            whole = part.new_zeros((self.n, *part.shape[1:]))
        whole[torch.tensor(self.rows, device=part.device)] = part
        return whole

    def edits(self, edits: Sequence[Edit]) -> tuple[Edit, ...]:
        """Rewrite edits made for the padded batch for these rows alone."""
        return tuple(
            replace(edit, value=self._value(edit)) for edit in for_rows(edits, self.rows, self.n)
        )

    def _value(self, edit: Edit) -> Tensor | float | None:
        value = edit.value
        for axis in position_axes(edit):
            if isinstance(value, Tensor) and has_positions(value, axis, self.width):
                value = self._aligned(value, axis)
        return value

    def _aligned(self, value: Tensor, axis: int) -> Tensor:
        lead = [1] * max(0, 1 - axis - value.dim())
        value = value.reshape(*lead, *value.shape)
        value = value.expand(len(self.rows), *value.shape[1:])
        columns = self.columns.to(value.device)
        shape = [1] * value.dim()
        shape[0], shape[axis] = columns.shape
        return value.take_along_dim(columns.reshape(shape), dim=axis)


def position_axes(edit: Edit) -> tuple[int, ...]:
    """Return the axes of an edit's value that may run over positions, counted from the end."""
    if edit.op is Op.AFFINE:
        return ()
    if edit.site.kind is Kind.ATTN_PATTERN:
        return (-2, -1)
    return (-3,) if edit.site.kind in (Kind.Q, Kind.K, Kind.V, Kind.Z) else (-2,)


def has_positions(value: Tensor, axis: int, width: int) -> bool:
    """Whether a value holds one entry per position of a batch of that width."""
    return value.dim() >= -axis and value.shape[axis] == width > 1


def equal_rows(tokens: Tokens) -> tuple[Place, ...]:
    """Group the rows of a batch by their number of tokens, shortest first."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for row, length in enumerate(tokens.lengths):
        by_length[length].append(row)
    n, width = tokens.ids.shape
    return tuple(
        Place(
            rows=tuple(rows),
            columns=left_order(tokens.mask[rows]),
            n=n,
            width=width,
        )
        for _, rows in sorted(by_length.items())
    )
