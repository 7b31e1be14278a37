"""The parts of a logit sum to it, on every architecture that is claimed; the others say why not."""

import numpy as np
import pytest
import torch

from workbench.methods.contracts import Context, Example
from workbench.methods.registry import find
from workbench.model.edits import Edit, Op
from workbench.model.frozen_norm import direct_end, head_writes
from workbench.model.sites import Site
from workbench.model.tiny import FAMILIES, tiny_model
from workbench.options import build
from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, ModelRef, RunSpec

TEXTS = ("the king saw the queen and ran", "the cat saw a dog", "cat dog bird")
CAPPED, NORMED_HEADS = "gemma2", "gemma3"
CLAIMED = [family for family in FAMILIES if family != CAPPED]
SPLIT = [(f, heads) for f in CLAIMED for heads in (True, False) if f != NORMED_HEADS or not heads]


def _measured(model, **options):
    recipe = build(find("probe", "direct-attribution").recipe, options)
    trace = model.run(list(TEXTS), read=recipe.sites(model.spec), logits="all")
    rows = [Example(text=t, number=i, fields={"answer": "king"}) for i, t in enumerate(TEXTS)]
    return trace, recipe.measure(trace, rows, Context.of(model, seed=1)).values


@pytest.mark.parametrize(("family", "heads"), SPLIT)
def test_the_parts_sum_to_the_logit_of_the_model(family, heads):
    trace, found = _measured(tiny_model(family), against="nothing", heads=heads)
    following = trace.tokens.ids[:, 1:]
    logits = trace.logits[:, :-1].gather(2, following[..., None])[..., 0]
    total = found["written"].sum(dim=1) + found["constant"]
    real = trace.tokens.mask[:, 1:]
    assert real.sum() > 10
    assert (total[:, :-1] - logits)[real].abs().max() <= 1e-4
    assert torch.isnan(total[0, -1]), "nothing follows the last token"
    layers = (found["attention"] + found["mlp"])[:, 1:, :-1].transpose(1, 2)[real]
    assert torch.allclose(layers, found["written"][:, 1:, :-1].transpose(1, 2)[real])


@pytest.mark.parametrize("family", ["gpt2", "llama", "opt"])
def test_a_head_writes_what_its_removal_takes_from_the_layer(family):
    model = tiny_model(family)
    z, out = Site.parse("z.1"), Site.parse("attn_out.1")
    trace = model.run(TEXTS[0], read=[z, out])
    q = torch.randn(trace[out].shape, generator=torch.Generator().manual_seed(0)).double()
    parts, bias = head_writes(model, 1, trace[z], q)
    whole = (q * trace[out].double()).sum(dim=-1)
    assert torch.allclose(parts.sum(dim=-1) + bias, whole, atol=1e-5)
    gone = model.run(TEXTS[0], read=[out], edits=[Edit(site=z, op=Op.ABLATE, heads=(2,))])
    taken = whole - (q * gone[out].double()).sum(dim=-1)
    assert torch.allclose(parts[..., 2], taken, atol=1e-5)


@pytest.mark.parametrize("family", CLAIMED)
def test_the_frozen_norm_is_the_norm(family):
    tiny = tiny_model(family)
    end = direct_end(tiny)
    norm = tiny.backend.plain.get_submodule(tiny.backend.paths.norm)
    x = 5 + 3 * torch.randn((2, 3, tiny.spec.d_model), generator=torch.Generator().manual_seed(0))
    assert torch.allclose(end.norm(x), norm(x).double(), atol=1e-5)
    # Where the scale is held, parts add up.
    rows = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    q, part = end.norm.towards(rows, x), 0.3 * x.roll(1, dims=1)
    both = (q * part).sum(dim=-1) + (q * (x - part)).sum(dim=-1)
    whole = (rows.double() * (end.norm(x) - end.norm.bias)).sum(dim=-1)
    assert torch.allclose(both, whole, atol=1e-5)


def test_the_answer_of_a_row_is_attributed_at_its_end(tiny_llama):
    trace, found = _measured(tiny_llama, target="answer", against="mean")
    king = tiny_llama.tokenizer("king", add_special_tokens=False)["input_ids"][0]
    mask = trace.tokens.mask
    assert torch.isfinite(found["logit"]).sum() == len(TEXTS)
    for i, logits in enumerate(trace.logits):
        last = int(mask[i].nonzero()[-1])
        expected = float(logits[last, king] - logits[last].mean())
        assert float(found["logit"][i, last]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("family", "options", "words"),
    [
        (CAPPED, {}, "capped"),
        (NORMED_HEADS, {}, "a norm of its own"),
        ("llama", {"against": "wrong"}, "no field 'wrong'"),
    ],
)
def test_what_cannot_be_split_is_refused_with_the_reason(family, options, words):
    spec = RunSpec(
        name="direct-attribution",
        options=options,
        model=ModelRef(name=f"tiny:{family}", device="cpu"),
        data=DataRef(texts=TEXTS),
    )
    run = execute(spec, model=tiny_model(family))
    assert run.failure is not None
    assert run.failure.code == "unsupported"
    assert words in run.failure.message


@pytest.mark.slow
def test_the_parts_sum_on_the_default_model(default_model):
    recipe = build(find("probe", "direct-attribution").recipe, {"against": "nothing"})
    text = "The capital of France is Paris, and that of Germany is Berlin."
    trace = default_model.run(text, read=recipe.sites(default_model.spec), logits="all")
    context = Context.of(default_model)
    found = recipe.measure(trace, [Example(text=text)], context).values
    logits = trace.logits[0, :-1].gather(1, trace.tokens.ids[0, 1:, None])[:, 0].double()
    total = (found["written"].sum(dim=1) + found["constant"])[0, :-1]
    assert np.abs((total - logits).numpy()).max() <= 1e-4
