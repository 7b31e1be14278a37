"""The reference backend: closed forms, edits, padding, caches, and nothing left behind."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from workbench.errors import UnknownName
from workbench.model.backend import Inputs
from workbench.model.backends.torch_hooks import HooksBackend
from workbench.model.edits import Edit, Op
from workbench.model.model import Model
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.tiny import tiny_model, tiny_module
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.tokens import Tokens, pad
from workbench.model.wrap import wrap_model

ROWS = [[5, 6, 7, 8, 9, 10], [11, 12, 13], [14, 15, 16, 17]]
SIDES = ("left", "right")


def site(text: str) -> Site:
    return Site.parse(text)


def inputs_of(tokens: Tokens, **changes: Any) -> Inputs:
    given = {"ids": tokens.ids, "mask": tokens.mask, "position_ids": tokens.position_ids}
    return Inputs(**given | changes)


def hooks(model: Model) -> HooksBackend:
    assert isinstance(model.backend, HooksBackend)
    return model.backend


def kinds(model: Model) -> list[Kind]:
    return [kind for kind in Kind if model.backend.supports(kind, edit=False)]


def places(model: Model, *, layer: int = 1, pattern: bool = True) -> list[Site]:
    found = [Site(kind, layer if kind.has_layer else None) for kind in kinds(model)]
    return [place for place in found if pattern or place.kind is not Kind.ATTN_PATTERN]


def module_at(model: Model, place: Site) -> Any:
    backend = hooks(model)
    return backend.module.get_submodule(backend.paths.point(place).path)


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
    assert _no_hooks(hooks(model).module)


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


# --- edits ------------------------------------------------------------------------------------


def test_a_set_edit_is_read_back_everywhere(tiny: Model, generator: torch.Generator) -> None:
    tokens = pad(ROWS, side="left")
    for place in places(tiny):
        # The same reads on both sides: a read of the logits computes them at every position, and
        # on some processors a product of more rows rounds differently.
        before = tiny.run(tokens, read=[place], logits="last")
        value = torch.rand(before[place].shape[-1:], generator=generator)
        edit = Edit(site=place, op=Op.SET, value=value, rows=(1,))
        after = tiny.run(tokens, read=[place], edits=[edit], logits="last")
        row = after.row(1, place)
        assert torch.equal(row, value[-row.shape[-1] :].expand_as(row)), place
        assert torch.equal(after.row(0, place), before.row(0, place)), place
        assert after.logits is not None
        assert before.logits is not None
        assert torch.equal(after.logits[0], before.logits[0]), place
        assert not torch.equal(after.logits[1], before.logits[1]), place


def test_a_disabled_edit_leaves_every_bit(tiny: Model) -> None:
    tokens, read = pad(ROWS, side="right"), places(tiny)
    plain = tiny.run(tokens, read=read, logits="all")
    off = [Edit(site=s, op=Op.SCALE, value=3.0, enabled=False) for s in read]
    again = tiny.run(tokens, read=read, edits=off, logits="all")
    assert torch.equal(plain.logits, again.logits)  # type: ignore[arg-type]
    for place in read:
        assert torch.equal(plain[place], again[place])


def test_scaling_by_one_changes_nothing(tiny: Model) -> None:
    tokens = pad(ROWS, side="left")
    plain = tiny.run(tokens, logits="last").logits
    assert plain is not None
    for place in places(tiny):
        edit = Edit(site=place, op=Op.SCALE, value=1.0)
        torch.testing.assert_close(tiny.run(tokens, edits=[edit], logits="last").logits, plain)


def test_ablating_both_parts_passes_the_stream_through(tiny: Model) -> None:
    parts = [Site(kind, 1) for kind in (Kind.ATTN_OUT, Kind.MLP_OUT)]
    edits = [Edit(site=s, op=Op.ABLATE) for s in parts]
    x = tiny.run(pad(ROWS[:1]), read=["resid_pre.1", "resid_post.1"], edits=edits)
    assert torch.equal(x["resid_pre.1"], x["resid_post.1"])


def test_an_edit_of_resid_mid_goes_round_the_feed_forward_part(tiny: Model) -> None:
    if not tiny.backend.supports(Kind.RESID_MID, edit=True):
        assert tiny.spec.architecture == "GPTNeoXForCausalLM"
        return
    edit = Edit(site=site("resid_mid.1[-1]"), op=Op.ADD, value=2.0)
    x = tiny.run(pad(ROWS), read=["resid_mid.1", "mlp_out.1", "resid_post.1"], edits=[edit])
    assert torch.equal(x["resid_mid.1"] + x["mlp_out.1"], x["resid_post.1"])
    plain = tiny.run(pad(ROWS), read=["resid_mid.1"])
    torch.testing.assert_close(x.row(1, "resid_mid.1")[-1], plain.row(1, "resid_mid.1")[-1] + 2)
    assert torch.equal(x.row(1, "resid_mid.1")[:-1], plain.row(1, "resid_mid.1")[:-1])


def test_removing_a_head_removes_its_share_of_attn_out(tiny: Model) -> None:
    read = ["z.1", "attn_out.1"]
    edit = Edit(site=site("z.1"), op=Op.ABLATE, heads=(2,))
    with_it, without = (tiny.run(pad(ROWS[:1]), read=read, edits=e) for e in ([], [edit]))
    assert not without["z.1"][:, :, 2].any()
    others = [0, 1, 3]
    assert torch.equal(with_it["z.1"][:, :, others], without["z.1"][:, :, others])
    if not tiny.spec.architecture.startswith(("Gemma2", "Gemma3")):
        project = module_at(tiny, site("z.1"))
        gone = with_it["z.1"] - without["z.1"]
        share = project(gone.flatten(-2)) - project(torch.zeros_like(gone.flatten(-2)))
        torch.testing.assert_close(with_it["attn_out.1"] - without["attn_out.1"], share)


def test_an_edited_pattern_is_the_one_that_averages(tiny: Model) -> None:
    edit = Edit(site=site("attn_pattern.1"), op=Op.ABLATE, heads=(1,))
    x = tiny.run(pad(ROWS[:1]), read=["attn_pattern.1", "z.1"], edits=[edit])
    assert not x["attn_pattern.1"][:, 1].any()
    assert not x["z.1"][:, :, 1].any()
    assert x["z.1"][:, :, 0].abs().max() > 0


# --- inputs other than tokens ------------------------------------------------------------------


def test_vectors_in_place_of_tokens(tiny: Model) -> None:
    tokens, read = pad(ROWS, side="left"), places(tiny)
    by_id = tiny.run(tokens, read=read, logits="all")
    by_vector = tiny.run(tokens, read=read, logits="all", embeds=tiny.embed(tokens.ids))
    assert torch.equal(by_id.logits, by_vector.logits)  # type: ignore[arg-type]
    for place in read:
        assert torch.equal(by_id[place], by_vector[place])
    edit = Edit(site=Site(Kind.EMBED), op=Op.SCALE, value=2.0)
    twice = tiny.run(tokens, logits="all", embeds=2 * tiny.embed(tokens.ids)).logits
    edited = tiny.run(tokens, logits="all", embeds=tiny.embed(tokens.ids), edits=[edit]).logits
    assert twice is not None
    assert edited is not None
    assert torch.equal(twice[tokens.mask], edited[tokens.mask])


def test_one_token_at_a_time_with_a_cache(tiny: Model) -> None:
    tokens, read = pad(ROWS, side="left"), (site("resid_post.1"), site("z.2[-1]"))
    whole = tiny.run(tokens, read=["resid_post.1", "z.2"], logits="all")
    cache = DynamicCache(config=hooks(tiny).module.config)
    for t in range(tokens.ids.shape[1]):
        step = tiny.forward(
            Inputs(
                ids=tokens.ids[:, t : t + 1],
                mask=tokens.mask[:, : t + 1],
                position_ids=tokens.position_ids[:, t : t + 1],
                cache=cache,
            ),
            read=() if t < 3 else read,
        )
    real = tokens.mask[:, -1]
    assert real.all()
    for place in ("resid_post.1", "z.2"):
        found = next(x for s, x in step.captured.items() if s.kind == place.split(".")[0])
        torch.testing.assert_close(found[:, 0], whole[place][:, -1], rtol=1e-4, atol=1e-5)
    assert step.logits is not None
    assert whole.logits is not None
    torch.testing.assert_close(step.logits[:, 0], whole.logits[:, -1], rtol=1e-4, atol=1e-5)
    assert cache.get_seq_length() == 6


# --- nothing is left behind ---------------------------------------------------------------------


def _no_hooks(module: Any) -> bool:
    return not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma3"])
def test_the_given_model_and_its_weights_stay_as_they_were(family: str) -> None:
    module: Any = tiny_module(family)
    before = {name: p.clone() for name, p in module.state_dict().items()}
    attention = module.config._attn_implementation
    model = wrap_model(module, tiny_tokenizer(), name="mine")
    edits = [Edit(site=s, op=Op.SET, value=0.5) for s in places(model)]
    model.run(pad(ROWS), read=places(model), edits=edits, logits="all")
    assert module.config._attn_implementation == attention
    assert hooks(model).module.config._attn_implementation == attention
    assert _no_hooks(module)
    assert _no_hooks(hooks(model).module)
    after = module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    shared = hooks(model).module.state_dict()
    assert all(shared[name].data_ptr() == after[name].data_ptr() for name in after)


def test_a_whole_site_is_captured_without_a_copy(tiny_llama: Model) -> None:
    x = tiny_llama.run(
        pad(ROWS[:1]), read=["resid_post.0", "resid_pre.1", "q.1", "resid_post.1[-1]"]
    )
    assert x["resid_post.0"].data_ptr() == x["resid_pre.1"].data_ptr()
    small = x["resid_post.1[-1]"]
    assert small.untyped_storage().nbytes() == small.numel() * small.element_size()
    assert not any(t.requires_grad for t in x.activations.values())


def test_captures_are_not_overwritten_by_later_edits(tiny: Model) -> None:
    if not tiny.backend.supports(Kind.RESID_MID, edit=True):
        assert tiny.spec.architecture == "GPTNeoXForCausalLM"
        return
    read = ["resid_pre.1", "attn_out.1", "resid_post.0"]
    plain = tiny.run(pad(ROWS[:1]), read=read)
    edit = Edit(site=site("resid_mid.1"), op=Op.SET, value=7.0)
    edited = tiny.run(pad(ROWS[:1]), read=read, edits=[edit])
    assert all(torch.equal(plain[s], edited[s]) for s in read)


def test_reading_leaves_the_logits_bit_identical(tiny: Model) -> None:
    tokens = pad([ROWS[0], ROWS[0][::-1]])
    module: Any = hooks(tiny).module
    with torch.no_grad():
        plain = module(tokens.ids, use_cache=False).logits
    read = places(tiny, pattern=False)
    captured = tiny.run(tokens, read=read, logits="all").logits
    assert captured is not None
    assert torch.equal(plain, captured)
