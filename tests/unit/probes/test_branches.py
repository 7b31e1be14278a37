"""Branches are blind to each other and their end sees them all."""

import pytest

from probes.branches import Branches
from workbench.errors import BadRows
from workbench.methods.contracts import Context, Example
from workbench.model.tiny import tiny_model


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_changed_branch_moves_no_sibling_and_the_end(family):
    model = tiny_model(family)
    texts = (
        "the {{ king saw|| queen|| man ran to}} and",
        "so {{ a {{ dog|| cat}} ran|| bird}} the",
    )
    rows = [Example(text=text, number=i) for i, text in enumerate(texts)]
    found = Branches().study(model, rows, Context.of(model, resamples=10))
    leak, turns, seen, ahead = (found.estimate(n) for n in ("leak", "interleaved", "seen", "ahead"))
    assert leak.value == 0
    assert leak.control > 0.01
    assert turns.value < 1e-5
    assert turns.control > 0.01
    assert seen.value == 1
    assert ahead.value == 0
    table = found.table("branches").frame
    assert (table["reach"] > 0).all()
    assert len(table) == 3
    with pytest.raises(BadRows, match="two branches"):
        Branches().study(model, [Example(text="the {{ king}} and")], Context.of(model))
