"""Edits name rows and heads that exist, and a direction per row is a direction per row."""

import pytest
import torch

from workbench.errors import BadEdit, BadSite
from workbench.model.edits import Edit, Op, for_rows
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.tokens import pad

BATCH = pad([[5, 9, 11], [7, 8]])


def test_rows_and_heads_that_do_not_exist_are_named(tiny_llama: Model) -> None:
    edits = [
        Edit(site=Site(Kind.RESID_POST, 0), op=Op.ABLATE, rows=(0, 5)),
        Edit(site=Site(Kind.Z, 1), op=Op.ABLATE, heads=(4,)),
        Edit(site=Site(Kind.K, 1), op=Op.ABLATE, heads=(2,)),
        Edit(site=Site(Kind.V, 1), op=Op.ABLATE, heads=(3,)),
    ]
    named = r"rows \[5\] of 2.*heads \[4\] of 4.*heads \[2\] of 2.*heads \[3\] of 2"
    with pytest.raises(BadEdit, match=named):
        tiny_llama.run(BATCH, edits=edits)


def test_a_later_step_is_checked_before_the_first(tiny_llama: Model) -> None:
    late = Edit(site=Site(Kind.RESID_POST, 0), op=Op.ABLATE, rows=(2,), steps=(5,))
    with pytest.raises(BadEdit, match=r"rows \[2\] of 2"):
        tiny_llama.generate(BATCH, limit=1, edits=[late])
    missing = Edit(site=Site(Kind.RESID_POST, 9), op=Op.ABLATE, steps=(5,))
    with pytest.raises(BadSite):
        tiny_llama.generate(BATCH, limit=1, edits=[missing])


def test_each_row_loses_its_own_direction(tiny_llama: Model) -> None:
    directions = torch.randn(2, 1, 32, generator=torch.Generator().manual_seed(0))
    edit = Edit(site=Site(Kind.RESID_POST, 1), op=Op.PROJECT_OUT, value=directions)
    after = tiny_llama.run(BATCH, edits=[edit], read=["resid_post.1"])["resid_post.1"]
    before = tiny_llama.run(BATCH, read=["resid_post.1"])["resid_post.1"]
    unit = directions / directions.norm(dim=-1, keepdim=True)
    torch.testing.assert_close((after * unit).sum(dim=-1), torch.zeros(2, 3), atol=1e-5, rtol=0)
    expected = before - (before * unit).sum(dim=-1, keepdim=True) * unit
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=1e-5)


def test_a_zero_direction_is_refused() -> None:
    with pytest.raises(BadEdit, match="zero vector"):
        Edit(site=Site(Kind.RESID_POST, 1), op=Op.PROJECT_OUT, value=torch.zeros(32))


def test_edits_follow_the_rows_they_were_made_for() -> None:
    value = torch.arange(3.0)[:, None, None].expand(3, 1, 4)
    edits = [
        Edit(site=Site(Kind.RESID_POST, 0), op=Op.ADD, value=value),
        Edit(site=Site(Kind.RESID_POST, 0), op=Op.ABLATE, rows=(0,)),
        Edit(site=Site(Kind.RESID_POST, 0), op=Op.ABLATE, rows=(1, 2)),
    ]
    kept = for_rows(edits, (2, 2, 1), 3)
    assert len(kept) == 2
    assert kept[0].value[:, 0, 0].tolist() == [2, 2, 1]  # type: ignore[index]
    assert kept[1].rows == (0, 1, 2)
    assert for_rows(edits, (0, 1, 2), 3) == tuple(edits)
