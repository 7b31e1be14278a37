"""The reference backend: edits, other inputs, caches, and nothing left behind."""

from typing import Any

import pytest
import torch
from transformers import DynamicCache

from tests.unit.model.reading import ROWS, has_no_hooks, hooks, module_at, places, site
from workbench.model.backend import Inputs
from workbench.model.edits import Edit, Op
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.tiny import tiny_module
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.tokens import pad
from workbench.model.wrap import wrap_model

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
    assert has_no_hooks(module)
    assert has_no_hooks(hooks(model).module)
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
