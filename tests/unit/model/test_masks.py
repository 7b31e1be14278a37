"""Parallel parts: order-free, blind to each other, nested, and continued with a cache."""

from itertools import permutations

import pytest
import torch

from workbench.errors import BadOption, Unsupported
from workbench.model.generation import GenerationOptions
from workbench.model.masks import Parallel, causal, lay_out, prefix_visible, relaxed
from workbench.model.tiny import tiny_model
from workbench.model.tokens import pad


@pytest.fixture(params=["gpt2", "gpt_neox", "llama"])
def tiny(request):
    return tiny_model(request.param)


A, B, D = (5, 9, 13), ((21, 7), (30, 31, 8), (17, 40, 41, 6)), (11, 12, 3)


def prompt(order=(0, 1, 2)):
    return (*A, Parallel(branches=tuple(B[i] for i in order)), *D)


def run(model, prompts, **how):
    prompts = [relaxed(p, **{"blind": True, "aligned": True, **how}) for p in prompts]
    tokens, layout = lay_out(prompts)
    return model.run(tokens, layout=layout, logits="all").logits


@pytest.mark.parametrize(
    ("how", "is_free"),
    [
        ({}, True),
        ({"aligned": False}, False),
        ({"blind": False}, False),
        ({"blind": False, "aligned": False}, False),
    ],
)
def test_what_follows_the_parts_depends_on_their_order_unless_mask_and_positions_are_set(
    tiny, how, is_free
):
    found = run(tiny, [prompt(order) for order in permutations(range(3))], **how)[:, -len(D) :]
    gap = (found - found[:1]).norm(dim=-1) / found[:1].norm(dim=-1)
    assert (float(gap.max()) < 1e-5) == is_free
    assert is_free or float(gap.max()) > 1e-2


def test_a_part_gives_what_it_gives_alone_and_no_sibling_moves_a_bit(tiny_llama):
    found = run(tiny_llama, [prompt()])
    other = run(tiny_llama, [(*A, Parallel(branches=(B[0], (1, 2, 4), B[2])), *D)])
    third = slice(-len(D) - len(B[2]), -len(D))
    alone = tiny_llama.run(pad([[*A, *B[2]]]), logits="all").logits
    assert torch.allclose(found[:, third], alone[:, len(A) :], atol=1e-5)
    assert torch.equal(found[:, third], other[:, third])
    assert not torch.equal(found[:, -1], other[:, -1])


def test_one_part_and_a_prefix_of_one_token_are_the_plain_run_bit_for_bit(tiny):
    tokens = pad([[*A, *B[1], *D], [*A, *D]], side="left")
    plain = tiny.run(tokens, logits="all")
    alone, layout = lay_out([(*A, Parallel(branches=B[1:2]), *D), (*A, *D)])
    for one in (layout, causal(tokens), prefix_visible(tokens, (1, 0))):
        found = tiny.run(alone, layout=one, logits="all")
        assert torch.equal(found.logits, plain.logits)
        assert found.layout == "causal"


def test_what_stands_behind_shows_in_a_prefix_and_nowhere_before():
    model = tiny_model("gpt2")
    one, other = pad([[*A, *D]]), pad([[*A, *D[:-1], 50]])
    for length, moves in ((6, True), (4, False)):
        found, moved = (
            model.run(t, layout=prefix_visible(t, (length,)), logits="all").logits[0]
            for t in (one, other)
        )
        assert torch.equal(found[:5], moved[:5]) == (not moves)


def test_blocks_nest_and_positions_follow_the_longest_way():
    inner = Parallel(branches=((4,), (5, 6)))
    tokens, layout = lay_out([(1, Parallel(branches=((2, inner, 3), (7,))), 8)])
    assert tokens.row(0) == [1, 2, 4, 5, 6, 3, 7, 8]
    assert layout.position_ids[0].tolist() == [0, 1, 2, 2, 3, 4, 1, 5]
    sees = [row.nonzero()[:, 0].tolist() for row in layout.visible[0]]
    assert sees == [
        [0], [0, 1], [0, 1, 2], [0, 1, 3], [0, 1, 3, 4], [0, 1, 2, 3, 4, 5], [0, 6],
        list(range(8)),
    ]  # fmt: skip


def test_generation_behind_parts_keeps_mask_and_positions(tiny):
    tokens, layout = lay_out([prompt(), prompt((2, 0, 1)), (*A, *D)])
    options = GenerationOptions(layout=layout, stop_ids=(), keep_logits=True)
    trace = tiny.generate(tokens, options=options, limit=4)
    assert trace.layout == "parts"
    assert trace.generated[0] == trace.generated[1]
    alone = tiny.generate(pad([[*A, *D]]), options=GenerationOptions(stop_ids=()), limit=4)
    assert trace.generated[2] == alone.generated[0]
    replayed = run(tiny, [(*prompt(), *trace.generated[0][:-1])])[0, -4:]
    assert torch.allclose(replayed, trace.logits[0], rtol=1e-4, atol=1e-4)


def test_a_layout_that_does_not_fit_is_refused(tiny_llama):
    _, layout = lay_out([prompt()])
    with pytest.raises(BadOption, match="expected"):
        tiny_llama.run(pad([[1, 2]]), layout=layout)
    ends, open_end = lay_out([(*A, Parallel(branches=B))])
    with pytest.raises(BadOption, match="does not see all"):
        tiny_llama.generate(ends, options=GenerationOptions(layout=open_end))


def test_a_model_with_windows_is_refused_with_the_reason():
    tokens, layout = lay_out([prompt()])
    with pytest.raises(Unsupported, match="relative error"):
        tiny_model("gemma2").run(tokens, layout=layout)


@pytest.mark.parametrize("in_parts", [False, True])
def test_more_tokens_than_positions_are_refused_unless_they_share_them(tiny, in_parts):
    half = tiny.spec.max_positions // 2 + 8
    parts = Parallel(branches=((5,) * half, (6,) * half), blind=in_parts, aligned=in_parts)
    tokens, layout = lay_out([(4, parts, 7)])
    if in_parts:
        assert tiny.run(tokens, layout=layout, logits="last").logits.isfinite().all()
        return
    with pytest.raises(BadOption, match=f"has {tiny.spec.max_positions} positions; row 0 takes"):
        tiny.run(tokens)
