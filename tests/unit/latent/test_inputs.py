"""Latent inputs: weights by hand, and what each one shows and feeds."""

import math

import pytest
import torch

from workbench.latent.inputs import (
    GatedMixture,
    HiddenFeedback,
    LatentInput,
    MixtureOfInputs,
    Moment,
    SoftTokens,
    TokenInput,
    entropy,
)
from workbench.latent.mixture import EmbeddingTable
from workbench.model.tiny import tiny_model

TABLE = EmbeddingTable(tiny_model("llama"))


def _moment(p, token=0, **more) -> Moment:
    p = torch.tensor([p])
    return Moment(
        index=0,
        logits=p.log(),
        p=p,
        tokens=torch.tensor([token]),
        table=TABLE,
        thinking=torch.tensor([True]),
        **more,
    )


def test_entropy_by_hand():
    p = torch.tensor([[0.5, 0.25, 0.25, 0.0], [1.0, 0.0, 0.0, 0.0]])
    assert entropy(p).tolist() == pytest.approx([1.5 * math.log(2), 0.0])


def test_mixture_of_inputs_by_hand():
    p = [0.5, 0.25, 0.25, 0.0]
    h = 1.5 * math.log(2) / math.log(4)
    weights = MixtureOfInputs(beta=1.0).weights(torch.tensor([p]), torch.tensor([1]))[0]
    expected = [h * x / 2 for x in p]
    expected[1] += (2 - h) / 2
    assert weights.tolist() == pytest.approx(expected)
    assert float(weights.sum()) == pytest.approx(1.0)


def test_mixture_of_inputs_without_doubt_is_the_token():
    p = [0.0] * 64
    p[7] = 1.0
    found = MixtureOfInputs().next_input(_moment(p, token=7))
    torch.testing.assert_close(found.vector[0], TABLE.weight[7])


def test_soft_tokens_cut_renormalise_and_show_the_likeliest():
    now = _moment([0.4, 0.3, 0.2, 0.0996, 0.0004] + [0.0] * 59, token=4)
    found = SoftTokens(n=10, top_p=1.0, top_k=30, min_p=0.01).next_input(now)
    assert found.mixture is not None
    weights = dict(
        zip(found.mixture.ids[0].tolist(), found.mixture.weights[0].tolist(), strict=True)
    )
    whole = 0.9996
    assert weights[0] == pytest.approx(0.4 / whole)
    assert weights[4] == 0.0
    assert SoftTokens().visible(now).tolist() == [0]
    two = SoftTokens(n=2).next_input(now).mixture
    assert two is not None
    assert two.weights[0].tolist() == pytest.approx([4 / 7, 3 / 7])
    nucleus = SoftTokens(top_p=0.5).next_input(now).mixture
    assert nucleus is not None
    assert nucleus.weights[0][:3].tolist() == pytest.approx([4 / 7, 3 / 7, 0.0])
    # The bound is a share of the largest probability: 0.25 · 0.4 lies between 0.2 and 0.0996.
    least = SoftTokens(top_p=1.0, min_p=0.25).next_input(now).mixture
    assert least is not None
    assert least.weights[0][:4].tolist() == pytest.approx([4 / 9, 3 / 9, 2 / 9, 0.0])


def test_noise_reweighs_by_its_formula():
    noise = torch.tensor([[0.0, 2.0] + [0.0] * 62])
    now = _moment([0.75, 0.25] + [0.0] * 62, noise=noise)
    soft = SoftTokens(noise=0.5, top_p=1.0)
    found = soft.next_input(now).mixture
    assert found is not None
    raw = [0.75**2, (0.25 * math.e**2) ** 2]
    weights = dict(zip(found.ids[0].tolist(), found.weights[0].tolist(), strict=True))
    assert weights[0] == pytest.approx(raw[0] / sum(raw))
    assert soft.visible(now).tolist() == [1]


def test_hidden_feedback_has_the_length_of_an_embedding():
    state = torch.randn(1, 32, generator=torch.Generator().manual_seed(0))
    found = HiddenFeedback().next_input(_moment([1.0] + [0.0] * 63, hidden=state))
    assert found is not None
    assert float(found.vector.norm()) == pytest.approx(TABLE.mean_length, rel=1e-5)
    cosine = torch.nn.functional.cosine_similarity(found.vector, state)
    assert float(cosine) == pytest.approx(1.0)


def test_every_method_has_the_same_interface(gate):
    methods = (
        TokenInput(),
        GatedMixture(gate=gate),
        SoftTokens(),
        MixtureOfInputs(),
        HiddenFeedback(),
    )
    assert all(isinstance(method, LatentInput) for method in methods)
