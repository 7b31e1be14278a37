"""Slopes of a score against differences of it, on every architecture and kind of site."""

import pytest
import torch

from workbench.errors import BadOption, Unsupported
from workbench.methods.contracts import Context
from workbench.model.capabilities import trying
from workbench.model.edits import Edit, Op
from workbench.model.gradients import gradients
from workbench.model.sites import Kind, Site
from workbench.model.tiny import FAMILIES, tiny_model, tiny_module
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.wrap import wrap_model

TEXTS = ["the king saw the queen", "cat and dog"]
EQUAL = ["the king saw the queen", "cat and dog ran so"]
# Norms of most families compute in single precision; OPT does not, and has kinks.
STEPS = {"opt": 1e-6}
KINDS = [k for k in Kind if k not in (Kind.ATTN_PATTERN, Kind.LOGITS)]


def _score(logits, rows):
    return logits[:, 5] - 0.5 * logits[:, 7].square() + torch.tensor(rows)


@pytest.mark.parametrize("family", FAMILIES)
def test_slopes_are_those_of_differences(family):
    """In double precision, along a drawn direction at every token of both rows."""
    model = wrap_model(tiny_module(family).double(), tiny_tokenizer(), name=family, backend="hooks")
    kinds = [k for k in KINDS if model.backend.supports(k, edit=True)]
    size = STEPS.get(family, 1e-3)
    places = [Site(k, 1 if k.has_layer else None) for k in kinds]
    generator = torch.Generator().manual_seed(0)
    with trying(model):
        found = gradients(model, EQUAL, _score, at=places)
        for place in places:
            x = found.trace.activations[place]
            way = torch.randn(x.shape, generator=generator, dtype=x.dtype)
            up, down = (_moved(model, place, x + step * way) for step in (size, -size))
            slope = (found.slopes[place] * way).flatten(1).sum(dim=1)
            assert torch.allclose(slope, (up - down) / (2 * size), rtol=5e-3, atol=1e-3), place
            assert slope.abs().min() > 1e-3, place


def _moved(model, place, value):
    edit = Edit(site=place, op=Op.SET, value=value)
    return _score(model.run(EQUAL, edits=[edit], logits="last").logits[:, -1], range(2))


def test_scores_and_activations_are_those_of_a_plain_run(tiny):
    sites = ["resid_post.1", "z.0[-1]"]
    found = gradients(tiny, TEXTS, _score, at=sites)
    plain = tiny.run(TEXTS, read=sites, logits="last")
    assert torch.equal(found.scores, _score(plain.logits[:, -1], range(2)))
    for site in tiny.sites(sites):
        assert torch.equal(found.trace.activations[site], plain.activations[site])
        assert found.slopes[site].shape == plain.activations[site].shape


def test_parameters_gather_nothing_and_no_graph_is_left(tiny_llama):
    weights = list(tiny_llama.backend.module.parameters())
    before = [p.grad for p in weights]  # a test that shares the model may have left some
    found = gradients(tiny_llama, TEXTS, _score, at=["resid_post.*"])
    assert all(p.grad is old for p, old in zip(weights, before, strict=True))
    assert not any(x.requires_grad for x in (*found.slopes.values(), found.scores))
    assert not tiny_llama.run(TEXTS, logits="last").logits.requires_grad


def test_frozen_parameters_make_no_difference():
    model = tiny_model("llama", seed=3)
    before = gradients(model, TEXTS, _score, at=["z.1", "resid_pre.0"])
    for parameter in model.backend.module.parameters():
        parameter.requires_grad_(False)
    after = gradients(model, TEXTS, _score, at=["z.1", "resid_pre.0"])
    for site, slope in before.slopes.items():
        assert torch.equal(slope, after.slopes[site])


def test_a_row_has_the_slopes_it_has_alone(tiny):
    together = gradients(tiny, TEXTS, _score, at=["resid_pre.1"])
    alone = gradients(tiny, TEXTS[1:], lambda x, rows: _score(x, [1]), at=["resid_pre.1"])
    site = tiny.sites(["resid_pre.1"])[0]
    assert together.scores[1] == pytest.approx(float(alone.scores[0]), abs=1e-5)
    n = int(alone.trace.tokens.mask.sum())
    one = together.slopes[site][1][together.trace.tokens.mask[1]]
    assert torch.allclose(one, alone.slopes[site][0][:n], atol=1e-5)


def test_edits_act_before_the_slope_is_taken(tiny_llama):
    cut = Edit(site=Site(Kind.RESID_POST, 2), op=Op.SET, value=0.0)
    found = gradients(tiny_llama, TEXTS, _score, at=["resid_post.1"], edits=[cut])
    assert not found.slopes[Site(Kind.RESID_POST, 1)].any()


@pytest.mark.parametrize("score", [lambda x, rows: x[:, 5].sum(), lambda x, rows: torch.ones(2)])
def test_a_score_that_is_not_one_number_per_row_is_refused(tiny_llama, score):
    with pytest.raises(BadOption, match="expected 2 numbers"):
        gradients(tiny_llama, TEXTS, score, at=["resid_post.0"])


def test_other_backends_say_that_they_have_none(tiny_llama):
    bridge = tiny_model("llama", backend="transformer-lens")
    with pytest.raises(Unsupported, match="backend hooks"):
        gradients(bridge, TEXTS, _score, at=["resid_post.0"])


def test_patterns_are_refused_because_they_stand_beside_the_graph(tiny_llama):
    with pytest.raises(Unsupported, match=r"differentiated by attn_pattern\.1"):
        gradients(tiny_llama, TEXTS, _score, at=["attn_pattern.1"])


def test_a_probe_has_them_through_its_context(tiny_llama):
    tokens = tiny_llama.tokenize(TEXTS)
    found = Context.of(tiny_llama).gradients(tokens, _score, at=["resid_post.1"])
    assert found.slopes[Site(Kind.RESID_POST, 1)].abs().sum() > 0
