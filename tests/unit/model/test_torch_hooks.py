"""The reference backend: closed forms, edits, padding, caches, and nothing left behind."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.model.reading import (
    ROWS,
    SIDES,
    has_no_hooks,
    hooks,
    kinds,
    module_at,
    places,
    site,
)
from workbench.errors import UnknownName
from workbench.model.model import Model
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.tiny import tiny_model
from workbench.model.tokens import Tokens, pad

# --- what the activations are -----------------------------------------------------------------


def test_the_residual_stream_adds_up(tiny: Model) -> None:
    read = [s for k in kinds(tiny) if k.has_layer for s in every_layer(k, tiny.spec)]
    read = [s for s in read if s.kind is not Kind.ATTN_PATTERN]
    x = tiny.run(pad(ROWS[:1]), read=read)
    for layer in range(tiny.spec.n_layers):
        pre, post = x[Site(Kind.RESID_PRE, layer)], x[Site(Kind.RESID_POST, layer)]
        attention, mlp = x[Site(Kind.ATTN_OUT, layer)], x[Site(Kind.MLP_OUT, layer)]
        if tiny.backend.supports(Kind.RESID_MID, edit=False):
            mid = x[Site(Kind.RESID_MID, layer)]
            assert torch.equal(pre + attention, mid)
            assert torch.equal(mid + mlp, post)
        torch.testing.assert_close(pre + attention + mlp, post)
        if layer:
            assert torch.equal(pre, x[Site(Kind.RESID_POST, layer - 1)])


def test_only_parallel_blocks_lack_resid_mid(tiny: Model) -> None:
    parallel = tiny.spec.architecture == "GPTNeoXForCausalLM"
    assert tiny.backend.supports(Kind.RESID_MID, edit=True) is not parallel


def test_embed_enters_the_first_block_unless_positions_are_added(tiny: Model) -> None:
    x = tiny.run(pad(ROWS[:1]), read=["embed", "resid_pre.0"])
    assert torch.equal(x["embed"], tiny.embed(pad(ROWS[:1]).ids))
    added = x["resid_pre.0"] - x["embed"]
    if tiny.spec.architecture in ("GPT2LMHeadModel", "OPTForCausalLM"):
        assert added.abs().max() > 0
    else:
        assert not added.any()


def test_z_through_the_output_projection_is_attn_out(tiny: Model) -> None:
    x = tiny.run(pad(ROWS[:1]), read=["z.1", "attn_out.1"])
    project = module_at(tiny, site("z.1"))
    found = project(x["z.1"].flatten(-2))
    if tiny.spec.architecture.startswith(("Gemma2", "Gemma3")):
        found = module_at(tiny, site("attn_out.1"))(found)
    torch.testing.assert_close(found, x["attn_out.1"])


def test_the_pattern_averages_v_into_z(tiny: Model) -> None:
    x = tiny.run(pad(ROWS[:1]), read=["attn_pattern.1", "v.1", "z.1"])
    groups = tiny.spec.n_heads // tiny.spec.n_key_value_heads
    v = x["v.1"].repeat_interleave(groups, dim=2)
    z = torch.einsum("bhqk,bkhd->bqhd", x["attn_pattern.1"], v)
    torch.testing.assert_close(z, x["z.1"])


def test_pattern_rows_sum_to_one_over_the_past(tiny: Model) -> None:
    for side in SIDES:
        trace = tiny.run(pad(ROWS, side=side), read=["attn_pattern.0"])
        for row in range(len(ROWS)):
            pattern = trace.row(row, "attn_pattern.0")
            torch.testing.assert_close(pattern.sum(dim=-1), torch.ones(pattern.shape[:2]))
            assert not pattern.triu(1).any()


def test_q_and_k_before_rotation_give_the_pattern(tiny: Model) -> None:
    tokens = pad(ROWS[:1])
    x = tiny.run(tokens, read=["q.2", "k.2", "attn_pattern.2"])
    attention = module_at(tiny, site("attn_pattern.2"))
    q, k = x["q.2"].transpose(1, 2), x["k.2"].transpose(1, 2)
    rotate: Callable[..., Any] | None = getattr(
        sys.modules[type(attention).__module__], "apply_rotary_pos_emb", None
    )
    if rotate is not None:
        q, k = rotate(q, k, *_cos_sin(tiny, tokens, attention))
    k = k.repeat_interleave(tiny.spec.n_heads // tiny.spec.n_key_value_heads, dim=1)
    scores = q @ k.transpose(-1, -2) * attention.scaling
    cap = getattr(attention, "attn_logit_softcapping", None)
    scores = scores if cap is None else cap * (scores / cap).tanh()
    hidden = torch.ones_like(scores, dtype=torch.bool).triu(1)
    expected = scores.masked_fill(hidden, -torch.inf).softmax(dim=-1)
    torch.testing.assert_close(expected, x["attn_pattern.2"])


def _cos_sin(model: Model, tokens: Tokens, attention: Any) -> tuple[Tensor, Tensor]:
    rotary = hooks(model).module.base_model.rotary_emb
    x = model.embed(tokens.ids)
    if model.spec.architecture.startswith("Gemma3"):
        found = rotary(x, tokens.position_ids, attention.layer_type)
    else:
        found = rotary(x, tokens.position_ids)
    cos, sin = found
    return cos, sin


def test_final_norm_and_unembed_lead_to_the_logits(tiny: Model) -> None:
    x = tiny.run(pad(ROWS[:1]), read=["resid_post.-1", "final_norm", "logits"], logits="all")
    assert x.logits is not None
    assert torch.equal(x.logits, x["logits"])
    assert torch.equal(tiny.unembed(x["final_norm"], normed=True), x.logits)
    assert torch.equal(tiny.unembed(x["resid_post.-1"]), x.logits)


def test_shapes(tiny: Model) -> None:
    spec, (n, pos) = tiny.spec, (len(ROWS), 6)
    wide = {
        Kind.Q: (n, pos, spec.n_heads, spec.d_head),
        Kind.K: (n, pos, spec.n_key_value_heads, spec.d_head),
        Kind.V: (n, pos, spec.n_key_value_heads, spec.d_head),
        Kind.Z: (n, pos, spec.n_heads, spec.d_head),
        Kind.ATTN_PATTERN: (n, spec.n_heads, pos, pos),
        Kind.LOGITS: (n, pos, spec.d_vocab),
    }
    trace = tiny.run(pad(ROWS), read=places(tiny))
    for place in places(tiny):
        assert trace[place].shape == wide.get(place.kind, (n, pos, spec.d_model)), place


# --- padding, positions, logits ---------------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
def test_a_padded_row_equals_the_row_alone(tiny: Model, side: Any) -> None:
    read = [site(text) for text in ("q.2", "attn_pattern.2", "mlp_out.2", "resid_post.2")]
    together = tiny.run(pad(ROWS, side=side), read=read, logits="last")
    assert together.logits is not None
    for i, row in enumerate(ROWS):
        alone = tiny.run(pad([row]), read=read, logits="last")
        assert alone.logits is not None
        torch.testing.assert_close(together.logits[i], alone.logits[0], rtol=1e-4, atol=1e-5)
        for place in read:
            torch.testing.assert_close(
                together.row(i, place), alone.row(0, place), rtol=1e-4, atol=1e-5
            )


@pytest.mark.parametrize("side", SIDES)
def test_last_logits_belong_to_the_last_real_token(tiny: Model, side: Any) -> None:
    tokens = pad(ROWS, side=side)
    every = tiny.run(tokens, logits="all").logits
    last = tiny.run(tokens, logits="last").logits
    assert every is not None
    assert last is not None
    assert last.shape[1] == 1
    expected = torch.stack([every[i][tokens.mask[i]][-1] for i in range(len(ROWS))])
    torch.testing.assert_close(last[:, 0], expected)


@pytest.mark.parametrize("side", SIDES)
def test_positions_are_picked_from_the_whole(tiny: Model, side: Any) -> None:
    tokens = pad(ROWS, side=side)
    whole = places(tiny, pattern=False)
    some = [Site(s.kind, s.layer, (-1, 0, 1)) for s in whole]
    trace = tiny.run(tokens, read=[*whole, *some])
    for place, picked in zip(whole, some, strict=True):
        for i in range(len(ROWS)):
            row = trace.row(i, place)
            assert torch.equal(trace[picked][i], torch.stack([row[-1], row[0], row[1]]))


def test_a_position_that_does_not_exist_is_refused_and_leaves_no_hook() -> None:
    # A model of its own: transformers leaves hooks on a module once asked for hidden states.
    model = tiny_model("llama")
    with pytest.raises(UnknownName, match=r"rows \[1, 2\]"):
        model.run(pad(ROWS), read=["resid_post.0", "resid_post.1[4]"])
    assert has_no_hooks(hooks(model).module)


def test_without_logits_the_head_and_the_blocks_above_are_skipped(tiny_llama: Model) -> None:
    backend = hooks(tiny_llama)
    called: list[str] = []
    names = ("lm_head", "model.norm", "model.layers.2", "model.layers.1")
    handles = [
        backend.module.get_submodule(name).register_forward_hook(
            lambda *_, name=name: called.append(name)
        )
        for name in names
    ]
    full = tiny_llama.run(pad(ROWS), read=["resid_post.1"], logits="all")
    assert set(called) == set(names)
    called.clear()
    part = tiny_llama.run(pad(ROWS), read=["resid_post.1"], logits="none")
    tiny_llama.run(pad(ROWS), read=["final_norm"])
    for handle in handles:
        handle.remove()
    assert called == ["model.layers.1", "model.layers.1", "model.layers.2", "model.norm"]
    assert part.logits is None
    assert torch.equal(full["resid_post.1"], part["resid_post.1"])
