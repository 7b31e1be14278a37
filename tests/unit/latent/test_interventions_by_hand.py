"""Interventions by hand: the window, what is left out, and what stands in for the mixture."""

import pytest
import torch

from workbench.latent.gate import Gate, GateShape
from workbench.latent.inputs import GatedMixture, Moment
from workbench.latent.interventions import Intervened, Intervention
from workbench.latent.mixture import EmbeddingTable

P = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]])
DRAWN = torch.tensor([1, 2])


@pytest.fixture(scope="module")
def table(tiny_llama):
    return EmbeddingTable(tiny_llama)


@pytest.fixture(scope="module")
def gated():
    """A gate whose input part is 1, so that forced to 0 it feeds the mixture itself."""
    gate = Gate(32, GateShape(), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        gate.input_weight.zero_()
        gate.input_bias.fill_(99.0)
    return GatedMixture(gate=gate, width=0)


def _fed(gated, table, step=0, **change):
    p = torch.zeros(2, len(table.weight))
    p[:, :3] = P
    now = Moment(
        index=step,
        logits=p.log(),
        p=p,
        tokens=DRAWN,
        table=table,
        thinking=torch.tensor([True, True]),
    )
    return Intervened(inner=gated, change=Intervention(gate=0.0, **change)).next_input(now).vector


def _spread(table, weights):
    return weights @ table.weight[: weights.shape[1]] / weights.norm(dim=-1, keepdim=True)


def test_the_window_holds_its_first_and_its_last_step(gated, table):
    window = Intervention(first=1, last=3)
    assert [step for step in range(6) if window.acts_at(step)] == [1, 2, 3]
    inside = [_fed(gated, table, step, first=1, last=2) for step in range(4)]
    changed = [torch.equal(vector, _fed(gated, table)) for vector in inside]
    assert changed == [False, True, True, False]


def test_what_is_left_out_is_the_token_that_was_drawn_or_named(gated, table):
    own, drawn, named = (
        _spread(table, P * torch.tensor(keep))
        for keep in (
            [[1.0, 1, 1], [1, 1, 1]],
            [[1.0, 0, 1], [1, 1, 0]],
            [[0.0, 1, 1], [0, 1, 1]],
        )
    )
    torch.testing.assert_close(_fed(gated, table), own)
    torch.testing.assert_close(_fed(gated, table, drawn=True), drawn)
    torch.testing.assert_close(_fed(gated, table, without=0), named)
    torch.testing.assert_close(_fed(gated, table, mixture="top-1"), table.weight[[0, 1]])


@pytest.mark.parametrize("kind", ["mean", "noise"])
def test_what_stands_in_is_as_long_as_the_mixture(gated, table, kind):
    found, own = _fed(gated, table, mixture=kind), _fed(gated, table)
    torch.testing.assert_close(found.norm(dim=-1), own.norm(dim=-1))
    unit = found / found.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(unit[0], unit[1])
    if kind == "mean":
        mean = table.weight.mean(dim=0)
        torch.testing.assert_close(unit[0], mean / mean.norm())


def test_every_step_and_seed_has_its_own_direction(gated, table):
    found = {
        (seed, step): _fed(gated, table, step, mixture="noise", seed=seed)[0]
        for seed in (0, 1)
        for step in (0, 1, 2)
    }
    again = _fed(gated, table, 2, mixture="noise", seed=1)[0]
    assert torch.equal(again, found[1, 2])
    vectors = torch.nn.functional.normalize(torch.stack(list(found.values())), dim=-1)
    assert float((vectors @ vectors.T - torch.eye(6)).abs().max()) < 0.9
