"""Edits of small tensors by hand: what is on, and which entries are changed."""

import pytest
import torch

from workbench.errors import BadEdit
from workbench.model.edits import Edit, Op, apply, for_rows, positions_mask
from workbench.model.sites import Kind, Site

MASK = torch.tensor([[False, True, True], [True, True, True]])


def test_an_edit_that_is_off_acts_at_no_step() -> None:
    site = Site(Kind.RESID_POST, 0)
    off = Edit(site=site, op=Op.ABLATE, enabled=False)
    assert not any(off.acts_at(step) for step in range(3))
    some = Edit(site=site, op=Op.ABLATE, steps=(1, 3))
    assert [step for step in range(5) if some.acts_at(step)] == [1, 3]


def test_values_per_row_follow_their_rows_with_heads_and_without() -> None:
    per_row = torch.arange(3.0)[:, None, None, None].expand(3, 1, 1, 4)
    per_head = torch.arange(3.0)[:, None, None].expand(3, 2, 4)
    edits = [Edit(site=Site(Kind.Z, 0), op=Op.ADD, value=v) for v in (per_row, per_head)]
    first, second = (edit.value for edit in for_rows(edits, (2, 0), 3))
    assert torch.equal(first, per_row[[2, 0]])  # type: ignore[arg-type]
    assert torch.equal(second, per_head)  # type: ignore[arg-type]


def test_a_pattern_is_changed_at_the_queries_that_are_real() -> None:
    edit = Edit(site=Site(Kind.ATTN_PATTERN, 0), op=Op.ABLATE, heads=(1,))
    found = apply(edit, torch.ones(2, 2, 3, 3), MASK)
    expected = torch.ones(2, 2, 3, 3)
    expected[0, 1, 1:] = 0
    expected[1, 1] = 0
    assert torch.equal(found, expected)


def test_positions_count_real_tokens_and_never_padding() -> None:
    assert positions_mask(MASK, (0, -1)).tolist() == [[False, True, True], [True, False, True]]
    assert not positions_mask(MASK, (-3,))[0].any()


def test_one_zero_direction_among_others_is_refused() -> None:
    value = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])
    with pytest.raises(BadEdit, match="zero vector"):
        Edit(site=Site(Kind.RESID_POST, 1), op=Op.PROJECT_OUT, value=value)
