"""The gate: how it begins, its sign, its arithmetic, and mixtures of embeddings."""

import math

import pytest
import torch

from workbench.errors import BadOption, ModelError
from workbench.latent.gate import Gate, GateShape, forced, opened
from workbench.latent.mixture import EmbeddingTable, Mixture
from workbench.model.tiny import tiny_model

D = 32


def _gate(**shape) -> Gate:
    return Gate(D, GateShape(**shape), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("r_min", "expected"), [(0.99, 0.072), (0.98, 0.098), (0.95, 0.152)])
def test_a_fresh_gate_lets_as_much_through_as_measured(r_min, expected):
    gate = Gate(4096, GateShape(r_min=r_min), generator=torch.Generator().manual_seed(0))
    u = torch.exp(-8 * torch.nn.functional.softplus(-gate.lam.detach()))
    assert float(u.min()) >= r_min - 1e-6
    assert float(u.max()) <= 0.999 + 1e-6
    # At r = ½, a = √u, so the mean of √(1−a²) is that of √(1−u).
    assert float((1 - u).sqrt().mean()) == pytest.approx(expected, abs=0.002)


def test_lambda_opens_the_gate_when_it_falls():
    gate = _gate()
    token = torch.randn(5, D, generator=torch.Generator().manual_seed(1))
    before = gate.opening(token).a
    with torch.no_grad():
        gate.lam.sub_(1.0)
    assert bool((gate.opening(token).a < before).all())


def test_the_formula_by_hand():
    gate = _gate(r_min=0.5, r_max=0.6)
    token = torch.randn(3, D, generator=torch.Generator().manual_seed(1))
    h = torch.randn(3, D, generator=torch.Generator().manual_seed(2))
    state = {name: p.detach().double() for name, p in gate.named_parameters()}
    e = token.double()
    r = torch.sigmoid(e @ state["recurrence_weight"].T + state["recurrence_bias"])
    i = torch.sigmoid(e @ state["input_weight"].T + state["input_bias"])
    a = torch.exp(-8 * torch.log1p(torch.exp(-state["lam"])) * r)
    expected = a * e + torch.sqrt(1 - a**2 + 1e-8) * (i * h.double())
    torch.testing.assert_close(gate.opening(token).mix(token, h), expected.float())


def test_matrices_begin_as_the_paper_or_the_loader_says():
    paper, loader = (_gate(start=start).requires_grad_(False) for start in ("uniform", "normal"))
    bound = D**-0.5
    assert 0.9 * bound < float(paper.recurrence_weight.abs().max()) <= bound
    assert float(paper.input_bias.abs().max()) > 0
    assert float(loader.recurrence_weight.std()) == pytest.approx(0.02, rel=0.1)
    assert not loader.input_bias.any()


def test_nothing_cancels_where_half_precision_would():
    log_a = torch.tensor([-1e-7, -1e-4, 0.0])
    s = opened(log_a)["s"]
    assert float(s[0]) == pytest.approx(math.sqrt(2e-7 + 1e-8), rel=1e-4)
    assert float(s[1]) == pytest.approx(math.sqrt(2e-4), rel=1e-3)
    assert float(s[2]) == 0.0


def test_a_closed_gate_is_the_token_bit_for_bit():
    gate = _gate()
    token, h = torch.randn(2, 4, D, generator=torch.Generator().manual_seed(1))
    assert torch.equal(forced(1.0, gate.opening(token).i).mix(token, h), token)
    with torch.no_grad():
        gate.lam.fill_(1e4)
    assert torch.equal(gate.opening(token).mix(token, h), token)
    with pytest.raises(BadOption, match="0 to 1"):
        forced(1.5, token)


def test_what_is_kept_comes_back():
    gate = _gate()
    again = Gate.restore(gate.state_dict())
    token = torch.randn(2, D, generator=torch.Generator().manual_seed(1))
    assert torch.equal(gate.opening(token).a, again.opening(token).a)
    with pytest.raises(ModelError):
        Gate.restore({"weight": torch.zeros(2)})


def test_bounds_are_checked():
    with pytest.raises(BadOption, match="r_min"):
        GateShape(r_min=0.999, r_max=0.99)


def test_one_hot_gives_the_embedding_and_uniform_grows_with_the_root():
    table = EmbeddingTable(tiny_model("llama"))
    one = torch.zeros(1, table.weight.shape[0])
    one[0, 7] = 1
    torch.testing.assert_close(table.spread(Mixture.of(one, 0))[0], table.weight[7])
    k = 9
    some = torch.zeros_like(one)
    some[0, :k] = 1 / k
    expected = math.sqrt(k) * table.weight[:k].mean(dim=0)
    torch.testing.assert_close(table.spread(Mixture.of(some, 0))[0], expected)
    torch.testing.assert_close(table.spread(Mixture.of(some, k))[0], expected)


def test_truncation_keeps_the_heaviest_and_names_the_rest():
    p = torch.tensor([[0.1, 0.4, 0.2, 0.3]])
    mixture = Mixture.of(p, 2)
    assert mixture.ids is not None
    assert mixture.ids.tolist() == [[1, 3]]
    assert float(mixture.residual) == pytest.approx(0.3)
    left = mixture.without(torch.tensor([1]))
    assert left.weights.tolist() == [[0.0, pytest.approx(0.3)]]
    alone = left.without(torch.tensor([3]))
    assert torch.equal(alone.weights, left.weights)


def test_embeddings_are_those_the_blocks_receive(tiny):
    table = EmbeddingTable(tiny)
    ids = torch.tensor([[3, 9, 27]])
    assert torch.equal(table.of(ids), tiny.embed(ids))
