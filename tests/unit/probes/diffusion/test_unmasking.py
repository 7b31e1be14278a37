"""What must hold while hidden positions are filled: reuse, energies, guidance, any network."""

from itertools import product

import pytest
import torch

from probes.diffusion.arness import global_arness
from probes.diffusion.guidance import TokenClassifier
from workbench.errors import BadOption, ModelNotFound, NotFinite, Unsupported
from workbench.model.denoiser import Denoiser
from workbench.model.finite import watching
from workbench.model.key_reuse import KeyValueReuse
from workbench.model.tiny import tiny_model
from workbench.sampling.energy import LeftToRightEnergy, effective_sample_size, resample
from workbench.sampling.unmask_orders import AtRandom, LeftToRight
from workbench.sampling.unmasking import Decoding, unmask

PROMPTS = torch.tensor([[6, 9, 7, 5], [8, 8, 10, 12]])


def run(denoiser, decoding, length=6):
    generators = [torch.Generator().manual_seed(i) for i in range(len(PROMPTS))]
    return unmask(denoiser, PROMPTS, length, decoding, generators)


def test_both_directions_are_seen_and_the_mask_is_never_written(denoiser):
    ids = torch.cat([PROMPTS, torch.full((2, 3), denoiser.mask_id)], dim=1)
    changed = ids.clone()
    changed[:, -1] = 5
    one, other = denoiser.predict(ids).logits, denoiser.predict(changed).logits
    assert (one[:, 0] != other[:, 0]).any()
    found = run(denoiser, Decoding(temperature=50.0))
    assert (found.filled != denoiser.mask_id).all()
    assert torch.equal(found.ids[:, :4], PROMPTS)


@pytest.mark.parametrize("many", [1, 4])
def test_a_forced_order_is_left_to_right(denoiser, many):
    found = run(denoiser, Decoding(order=LeftToRight(), many=many))
    assert all(global_arness(row.numpy(), 1) == 1 for row in found.fixed_at)
    assert len(found.guesses) == -(-6 // many)


def test_zero_tolerance_is_bit_identical_and_a_wide_one_is_not(denoiser):
    plain = run(denoiser, Decoding(order=AtRandom(), kept=(4, 5)))
    with_none, wide = (
        _by_hand(denoiser, plain, KeyValueReuse(denoiser.keys_and_values, t)) for t in (0.0, 2.5)
    )
    without = _by_hand(denoiser, plain, KeyValueReuse((), 0.0))
    assert torch.equal(with_none[0], without[0])
    assert with_none[1] == 0
    assert not torch.equal(wide[0], without[0])
    assert wide[1] > 0.3
    same = run(denoiser, Decoding(order=AtRandom(), kept=(4, 5), tolerance=0.0))
    assert torch.equal(plain.states, same.states)


def _by_hand(denoiser, told, reuse):
    """Write the tokens of a trajectory in its order; return the last logits and the share."""
    ids = told.ids.clone()
    ids[:, told.start :] = denoiser.mask_id
    changed, share = None, 0.0
    for step in range(len(told.guesses)):
        with reuse.step(changed):
            logits = denoiser.predict(ids).logits
        if reuse.reused is not None:
            share = max(share, float(reuse.reused.max()))
        before = ids.clone()
        now = told.fixed_at == step
        ids[:, told.start :][now] = told.filled[now]
        changed = ids != before
    return logits, share


def test_keys_of_the_first_layer_move_only_where_a_token_changes(denoiser):
    reuse = KeyValueReuse(denoiser.keys_and_values, 0.0)
    ids = torch.cat([PROMPTS, torch.full((2, 2), denoiser.mask_id)], dim=1)
    changed = torch.zeros_like(ids, dtype=torch.bool)
    changed[:, 4] = True
    with reuse.step(None):
        denoiser.predict(ids)
    with reuse.step(changed):
        denoiser.predict(ids.masked_fill(changed, 7))
    first, second = reuse.drift[0]
    assert (first[~changed] < 1e-12).all()
    assert (first[changed] > 1e-3).all()
    assert (second > 1e-12).all()


def test_effective_sample_size_is_that_of_its_formula():
    size = lambda *w: float(effective_sample_size(torch.tensor(w).double().log()))  # noqa: E731
    assert size(2.0, 2.0, 2.0) == pytest.approx(3)
    assert size(1.0, 3.0) == pytest.approx(16 / 10)
    assert size(1e-30, 1.0) == pytest.approx(1)


def test_importance_weights_make_any_proposal_the_joint_distribution(denoiser, network):
    """Every continuation of two tokens is enumerated: Σ μ·w = 1 and μ·w = p, μ whatever it is."""
    v = len(denoiser.tokenizer)
    every = torch.tensor(list(product(range(v), repeat=2)))
    mu = torch.randn(2, v, generator=torch.Generator().manual_seed(1)).double().log_softmax(dim=1)
    proposal = mu[0, every[:, 0]] + mu[1, every[:, 1]]
    rows = torch.cat([PROMPTS[:1].expand(len(every), -1), every], dim=1)
    weights = LeftToRightEnergy(network, v).log_weights(rows[:, None], proposal[:, None], 4)[:, 0]
    joint = (proposal + weights).exp()
    assert float(joint.sum()) == pytest.approx(1, abs=1e-5)
    with torch.no_grad():
        logits = network.backend.module(input_ids=PROMPTS[:1]).logits[0, -1].double()
    firsts = joint.view(v, v).sum(dim=1)
    assert torch.allclose(firsts, logits.softmax(dim=0), atol=1e-5)
    assert effective_sample_size((joint / joint).log()[:, None])[0] == pytest.approx(len(every))


def test_draws_are_taken_by_weight():
    weights = torch.tensor([0.5, 0.125, 0.375]).double().log()[:, None].expand(3, 800)
    taken = resample(weights, (torch.arange(800) + 0.5) / 800)
    assert torch.bincount(taken).tolist() == [400, 100, 300]


def test_proposals_weighed_by_the_network_itself_come_from_it(denoiser, network):
    energy = LeftToRightEnergy(network, len(denoiser.tokenizer))
    found = run(denoiser, Decoding(temperature=1.0, energy=energy, draws=16, many=6))
    assert found.sample_sizes.shape == (1, 2)
    assert ((found.sample_sizes >= 1) & (found.sample_sizes <= 16)).all()
    with pytest.raises(BadOption, match="same vocabulary"):
        LeftToRightEnergy(tiny_model("llama"), 19)


def test_guidance_is_the_rule_of_bayes_and_none_at_a_scale_of_zero():
    rows = torch.tensor([[0, 1], [0, 2], [1, 1], [2, 2]])
    labels = torch.tensor([True, True, False, False])
    prior = torch.tensor([[3, 2, 2], [1, 3, 3]]).double()
    prior = (prior / prior.sum(dim=1, keepdim=True)).log()[None]
    guided = TokenClassifier(rows, labels, d_vocab=3, scale=1.0)(prior)
    assert torch.allclose(guided.exp()[0, 0], torch.tensor([3, 1, 1]).double() / 5)
    assert torch.allclose(guided.exp()[0, 1], torch.tensor([1, 2, 2]).double() / 5)
    assert TokenClassifier(rows, labels, d_vocab=3, scale=0.0)(prior) is prior


def test_a_masked_language_model_loads_from_its_folder(bert):
    denoiser = Denoiser.load(bert)
    assert len(denoiser.keys_and_values) == 2
    found = run(denoiser, Decoding(many=2, kept=(5,)))
    assert found.states.shape == (3, 3, 2, 1, 32)
    assert not torch.isnan(found.drift[1:]).any()
    with pytest.raises(Unsupported, match="mask token"):
        Denoiser.of(tiny_model("llama"))
    with pytest.raises(ModelNotFound, match="gone"):
        Denoiser.load("/gone/away")


def test_a_network_that_overflows_is_named(bert):
    denoiser = Denoiser.load(bert)
    with torch.no_grad():
        next(denoiser.module.parameters()).fill_(torch.inf)
    with watching(), pytest.raises(NotFinite, match="the logits"):
        run(denoiser, Decoding(many=6))
