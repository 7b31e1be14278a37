"""Edits of single generation steps, written for one pass over all that has been fed."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from workbench.model.edits import Edit
from workbench.model.row_groups import has_positions, position_axes


def replayed(
    prompt_edits: Sequence[Edit],
    edits: Sequence[Edit],
    *,
    n_prompt: int,
    length: int,
    width: int,
) -> tuple[Edit, ...]:
    """Return edits of one pass that do at every position what was done when it was new.

    `prompt_edits` are those that acted on the prompt, in a layout padded on the left to `width`;
    position n_prompt + t − 1 was new at step t.
    """
    first = [_over_prompt(edit, n_prompt, length, width) for edit in prompt_edits]
    later = (_over_steps(edit, n_prompt, length) for edit in edits)
    return (*first, *(edit for edit in later if edit is not None))


def _over_prompt(edit: Edit, n_prompt: int, length: int, width: int) -> Edit:
    asked = edit.site.positions
    positions = range(n_prompt) if asked is None else (p % n_prompt for p in asked)
    value = edit.value
    for axis in position_axes(edit):
        if isinstance(value, Tensor) and has_positions(value, axis, width):
            value = _stretched(value.narrow(axis, width - n_prompt, n_prompt), axis, length)
    site = replace(edit.site, positions=tuple(positions))
    return replace(edit, site=site, value=value, steps=None)


def _stretched(value: Tensor, axis: int, length: int) -> Tensor:
    # What is added is not selected; ones, so that a direction stays one.
    shape = list(value.shape)
    shape[axis] = length - value.shape[axis]
    return torch.cat([value, value.new_ones(shape)], dim=axis)


def _over_steps(edit: Edit, n_prompt: int, length: int) -> Edit | None:
    asked = edit.site.positions
    positions = tuple(
        position
        for step, position in enumerate(range(n_prompt, length), start=1)
        if edit.acts_at(step) and (asked is None or position in asked or -1 in asked)
    )
    if not positions:
        return None
    return replace(edit, site=replace(edit.site, positions=positions), steps=None)
