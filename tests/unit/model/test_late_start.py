"""Passes that begin in the middle of a model give what whole passes with the same edit give."""

import pytest
import torch

from workbench.errors import BadOption
from workbench.model.edits import Edit, Op
from workbench.model.late_start import begin, run_from, starts_late
from workbench.model.sites import Kind, Site

TEXTS = ["the king saw the queen and ran", "the king saw the man and sat"]


@pytest.mark.parametrize("cut", [0, 3])
@pytest.mark.parametrize("kind", [Kind.RESID_PRE, Kind.Z, Kind.ATTN_OUT, Kind.MLP_OUT])
def test_an_edit_has_the_effect_it_has_in_a_whole_pass(tiny, kind, cut):
    site = Site(kind, 1, (4,))
    edit = Edit(site=site, op=Op.SCALE, value=-2.0, rows=(1, 2))
    tokens = tiny.tokenize(TEXTS)
    rows = (1, 0, 1)
    start = begin(tiny, tokens, cut=cut)
    states = start.captured[Site(Kind.RESID_PRE, 1)][list(rows)]
    found = run_from(tiny, start, 1, states, rows=rows, edits=[edit])
    whole = tiny.run(tokens.take(rows), edits=[edit], logits="last").logits[:, -1]
    assert torch.allclose(found, whole, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found[0], found[2], atol=1e-2)
    assert torch.equal(found[0], start.logits[1])


def test_other_states_give_other_logits_and_blocks_come_back(tiny_llama):
    tokens = tiny_llama.tokenize(TEXTS)
    before = tiny_llama.run(tokens, logits="last").logits
    start = begin(tiny_llama, tokens)
    states = start.captured[Site(Kind.RESID_PRE, 2)]
    swapped = run_from(tiny_llama, start, 2, states[[1, 0]], rows=(0, 1))
    assert torch.equal(swapped, start.logits[[1, 0]])
    assert torch.equal(tiny_llama.run(tokens, logits="last").logits, before)


def test_it_is_tried_before_it_is_used(tiny):
    assert starts_late(tiny)
    assert tiny.verdicts["late start"].largest <= 1e-5


def test_rows_of_other_lengths_are_refused(tiny_llama):
    with pytest.raises(BadOption, match="one length"):
        begin(tiny_llama, tiny_llama.tokenize(["the king", "the"]))
