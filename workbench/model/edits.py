"""Interventions as data: what is changed, where, in which rows and at which steps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.errors import BadEdit
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec


class Op(StrEnum):
    """How an edit changes an activation x with its value v."""

    SET = "set"
    ADD = "add"
    SCALE = "scale"
    ABLATE = "ablate"
    PROJECT_OUT = "project_out"
    AFFINE = "affine"


@dataclass(frozen=True, kw_only=True, eq=False)
class Edit:
    """One intervention at a site.

    `set` x ← v; `add` x ← x + v; `scale` x ← v·x; `ablate` x ← 0; `project_out`
    x ← x − (x·u)u with u = v/‖v‖; `affine` x ← Mx + b with v = (M | b), one map for all entries.
    Any other `value` broadcasts against the selected entries: a number, a vector over the last
    axis, or one vector per row and position. `rows`, `heads` and `steps` restrict it; step 0 is
    the prompt, step t the t-th generated token. `enabled` off leaves the forward pass
    bit-identical to one without the edit.
    """

    site: Site
    op: Op
    value: Tensor | float | None = None
    rows: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None
    steps: tuple[int, ...] | None = None
    enabled: bool = True

    def __post_init__(self) -> None:
        """Refuse an operation without its value, or heads where there are none."""
        if self.op is not Op.ABLATE and self.value is None:
            raise BadEdit(f"{self.op} at {self.site} needs a value")
        if self.op is Op.PROJECT_OUT and not isinstance(self.value, Tensor):
            raise BadEdit(f"project_out at {self.site} needs a direction, got {self.value!r}")
        if self.op is Op.PROJECT_OUT and not bool(torch.as_tensor(self.value).any(dim=-1).all()):
            raise BadEdit(f"project_out at {self.site} needs a direction, got a zero vector")
        if self.op is Op.AFFINE and not _is_affine(self.value):
            shape = tuple(self.value.shape) if isinstance(self.value, Tensor) else self.value
            raise BadEdit(
                f"affine at {self.site} needs a map (M | b) of n × (n + 1), got {shape}",
                hint="torch.cat([M, b[:, None]], dim=1)",
            )
        if self.site.kind is Kind.ATTN_PATTERN and self.site.positions is not None:
            raise BadEdit(
                f"{self.site} names queries; an attention pattern is edited whole",
                hint=f"edit {self.site.whole()}, with one value per query and key if need be",
            )
        if self.heads is not None and not self.site.kind.has_heads:
            raise BadEdit(f"site {self.site} has no heads", hint="use z, q, k, v or attn_pattern")

    def acts_at(self, step: int) -> bool:
        """Whether the edit is on at that generation step."""
        return self.enabled and (self.steps is None or step in self.steps)


def active(edits: Sequence[Edit], step: int) -> tuple[Edit, ...]:
    """Keep the edits that are on at that step."""
    return tuple(edit for edit in edits if edit.acts_at(step))


def for_rows(edits: Sequence[Edit], rows: Sequence[int], n: int) -> tuple[Edit, ...]:
    """Rewrite edits made for a batch of n rows for a batch whose row j was row `rows[j]`."""
    if list(rows) == list(range(n)):
        return tuple(edits)
    kept = []
    for edit in edits:
        where = edit.rows and tuple(j for j, row in enumerate(rows) if row in edit.rows)
        value = edit.value
        if isinstance(value, Tensor) and value.dim() == (4 if edit.site.kind.has_heads else 3):
            value = value[list(rows)] if value.shape[0] == n else value
        if where is None or where:
            kept.append(replace(edit, rows=where, value=value))
    return tuple(kept)


def selection_problems(edits: Sequence[Edit], spec: ModelSpec, n: int) -> list[str]:
    """Say which edits name rows or heads that a batch of n rows of that model does not have."""
    problems = []
    for edit in edits:
        grouped = edit.site.kind in (Kind.K, Kind.V)
        sizes = (n, spec.n_key_value_heads if grouped else spec.n_heads)
        for word, given, size in zip(
            ("rows", "heads"), (edit.rows, edit.heads), sizes, strict=True
        ):
            wrong = [i for i in given or () if not 0 <= i < size]
            if wrong:
                problems.append(f"the edit at {edit.site} names {word} {wrong} of {size}")
    return problems


def apply(
    edit: Edit, x: Float[Tensor, "*shape"], mask: Bool[Tensor, "batch seen"]
) -> Float[Tensor, "*shape"]:
    """Return x changed by the edit at the real tokens it addresses.

    x is `batch pos …`, or `batch head query key` for an attention pattern. `mask` marks real
    tokens of everything seen so far; x covers its last positions (all of them without a cache).

    Raises:
        BadEdit: the value does not fit the selected entries.
    """
    where = _selection(edit, x, mask)
    try:
        changed = _change(edit, x)
    except RuntimeError as error:
        shape = tuple(edit.value.shape) if isinstance(edit.value, Tensor) else ()
        raise BadEdit(
            f"value of shape {shape} does not fit {edit.site} of shape {tuple(x.shape)}",
            hint="give a number, a vector over the last axis, or one per row and position",
        ) from error
    return torch.where(where, changed, x)


def _change(edit: Edit, x: Tensor) -> Tensor:
    if edit.op is Op.ABLATE:
        return torch.zeros_like(x)
    if edit.op is Op.AFFINE:
        # In half precision M, which is close to the identity, would lose what it takes away.
        wide = torch.float64 if x.dtype == torch.float64 else torch.float32
        both = torch.as_tensor(edit.value).to(device=x.device, dtype=wide)
        mapped: Tensor = x.to(wide) @ both[:, :-1].T + both[:, -1]
        return mapped.to(x.dtype)
    value = torch.as_tensor(edit.value).to(device=x.device, dtype=x.dtype)
    if edit.op is Op.SET:
        return value.expand_as(x)
    if edit.op is Op.ADD:
        return x + value
    if edit.op is Op.SCALE:
        return x * value
    unit = value / value.norm(dim=-1, keepdim=True)
    projected: Tensor = x - (x * unit).sum(dim=-1, keepdim=True) * unit
    return projected


def _is_affine(value: Tensor | float | None) -> bool:
    if not isinstance(value, Tensor) or value.dim() != 2:
        return False
    return value.shape[1] == value.shape[0] + 1 and bool(torch.isfinite(value).all())


def _selection(edit: Edit, x: Tensor, mask: Tensor) -> Tensor:
    rows = torch.ones(x.shape[0], dtype=torch.bool, device=x.device)
    if edit.rows is not None:
        rows = torch.zeros_like(rows)
        rows[list(edit.rows)] = True
    n_pos = x.shape[2] if edit.site.kind is Kind.ATTN_PATTERN else x.shape[1]
    chosen = positions_mask(mask, edit.site.positions)[:, -n_pos:] & rows[:, None]
    if edit.site.kind is Kind.ATTN_PATTERN:
        where = chosen[:, None, :, None].expand(x.shape).clone()
        head_axis = 1
    else:
        where = chosen.reshape(chosen.shape + (1,) * (x.dim() - 2)).expand(x.shape).clone()
        head_axis = 2
    if edit.heads is not None:
        off = [h for h in range(x.shape[head_axis]) if h not in edit.heads]
        where.index_fill_(head_axis, torch.tensor(off, device=x.device, dtype=torch.long), False)
    return where


def positions_mask(
    mask: Bool[Tensor, "batch pos"], positions: tuple[int, ...] | None
) -> Bool[Tensor, "batch pos"]:
    """Mark the real tokens at those positions of each row, counting without padding."""
    if positions is None:
        return mask
    count = mask.long().cumsum(dim=1) - 1
    length = mask.sum(dim=1, keepdim=True)
    wanted = torch.zeros_like(mask)
    for position in positions:
        wanted |= count == (position if position >= 0 else length + position)
    return wanted & mask
