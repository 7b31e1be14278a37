"""An affine map as an edit: what it does to the stream, on every backend and during generation."""

import pytest
import torch

from workbench.errors import BadEdit
from workbench.methods.eraser import leace
from workbench.model.backends import BACKENDS
from workbench.model.edits import Edit, Op
from workbench.model.model import Model
from workbench.model.replayed_edits import replayed
from workbench.model.row_groups import equal_rows
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.tiny import tiny_module
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.tokens import pad
from workbench.model.wrap import wrap_model

ROWS = [[5, 6, 7, 8, 9, 10], [11, 12, 13], [14, 15, 16, 17]]


def affine(model: Model, layer: int, **where) -> tuple[Edit, torch.Tensor]:
    d = model.spec.d_model
    generator = torch.Generator().manual_seed(layer)
    value = torch.randn(d, d + 1, generator=generator, dtype=torch.float64) / d**0.5
    return Edit(site=Site(Kind.RESID_POST, layer), op=Op.AFFINE, value=value, **where), value


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_map_acts_at_its_layer_and_leaves_earlier_ones_bit_identical(backend: str) -> None:
    module = tiny_module("llama")
    module.set_attn_implementation("eager")
    model = wrap_model(module, tiny_tokenizer(), name="llama", backend=backend)
    last = model.spec.n_layers - 1
    read = (*every_layer(Kind.RESID_POST, model.spec), Site(Kind.FINAL_NORM))
    plain = model.run(pad(ROWS), read=read, logits="all")
    edit, value = affine(model, last)
    after = model.run(pad(ROWS), read=read, logits="all", edits=[edit])
    for layer in range(last):
        assert torch.equal(after[f"resid_post.{layer}"], plain[f"resid_post.{layer}"])
    state = plain.flat(f"resid_post.{last}")
    mapped = (state.double() @ value[:, :-1].T + value[:, -1]).float()
    torch.testing.assert_close(after.flat(f"resid_post.{last}"), mapped, atol=1e-5, rtol=1e-5)
    logits = after.logits[after.tokens.mask]
    torch.testing.assert_close(logits, model.unembed(mapped), atol=1e-4, rtol=1e-4)
    off = Edit(site=edit.site, op=Op.AFFINE, value=edit.value, enabled=False)
    same = model.run(pad(ROWS), read=read, logits="all", edits=[off])
    assert torch.equal(same.logits, plain.logits)


def test_a_generation_edited_at_every_step_is_that_of_one_pass(tiny_llama: Model) -> None:
    # As wide as the prompt: the map must not be taken for one value per position.
    prompt = pad([list(range(4, 4 + tiny_llama.spec.d_model))])
    edit, _ = affine(tiny_llama, 0)
    found = tiny_llama.generate(prompt, limit=3, edits=[edit])
    rows = [*prompt.row(0), *found.generated[0]]
    again = tiny_llama.run(pad([rows]), edits=[edit], logits="all").logits
    assert again[0, -4:-1].argmax(dim=-1).tolist() == list(found.generated[0])


def test_rows_that_run_apart_and_replayed_steps_keep_the_whole_map(tiny_llama: Model) -> None:
    # As wide as the states, so that rows of the map look like one value per position.
    width = tiny_llama.spec.d_model
    edit, value = affine(tiny_llama, 0)
    for place in equal_rows(pad([list(range(4, 4 + width)), [5, 6]])):
        assert torch.equal(place.edits([edit])[0].value, value)
    again = replayed([edit], [edit], n_prompt=5, length=8, width=width)
    assert all(torch.equal(found.value, value) for found in again)


def test_right_padded_prompts_are_continued_with_it(tiny_llama: Model) -> None:
    edit, _ = affine(tiny_llama, 0)
    prompts = pad([[5, 6, 7, 8], [9, 10]])
    both = tiny_llama.generate(prompts, limit=2, edits=[edit]).generated
    alone = [
        tiny_llama.generate(pad([r]), limit=2, edits=[edit]).generated[0]
        for r in ([5, 6, 7, 8], [9, 10])
    ]
    assert list(both) == alone


@pytest.mark.parametrize("value", [torch.eye(3), torch.ones(4), 2.0, torch.full((2, 3), torch.nan)])
def test_what_is_no_map_is_refused(value) -> None:
    with pytest.raises(BadEdit, match="affine"):
        Edit(site=Site(Kind.RESID_POST, 0), op=Op.AFFINE, value=value)


def test_an_eraser_fitted_at_a_layer_erases_there(tiny_llama: Model) -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(4, 60, (40, 5), generator=generator).tolist()
    site = Site(Kind.RESID_POST, 1, (-1,))
    h = tiny_llama.run(pad(ids), read=[site])[site][:, 0].double().numpy()
    z = torch.tensor([[float(row[0] > 31)] for row in ids]).numpy()
    eraser = leace(h, z)
    found = tiny_llama.run(pad(ids), read=[site], edits=[eraser.edit(site)])[site][:, 0]
    torch.testing.assert_close(found.double().numpy(), eraser.erase(h), atol=1e-5, rtol=0)
