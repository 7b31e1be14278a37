"""A network that is given vectors: where they go, what they change, and that nothing else does."""

import pytest
import torch

from workbench.model.tiny import tiny_model
from workbench.training.given_network import GivenNetwork
from workbench.training.network import Network
from workbench.training.writing import write

D, BLOCK = 32, 1


def _draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=["llama", "gpt2", "gemma2"])
def plain(request):
    return Network(tiny_model(request.param).backend.module)


def _given(plain, gate=None):
    gate = torch.zeros(D + 1) if gate is None else gate
    return GivenNetwork(plain.module, block=BLOCK, gate=gate)


def _run(network, ids):
    with torch.no_grad():
        return network.states(network.embed(ids), torch.ones_like(ids, dtype=torch.bool))


IDS = torch.tensor([[3, 3, 3, 7, 9, 12], [3, 3, 3, 20, 5, 6]])


def test_what_a_block_reads_anyway_changes_nothing(plain):
    network = _given(plain)
    expected = _run(plain, IDS)
    assert torch.equal(_run(network, IDS), expected), "nothing is given"
    embeds = plain.embed(IDS)
    entering = plain.layers(embeds, torch.ones_like(IDS, dtype=torch.bool))[BLOCK]
    network.give(entering[:, 1:3].detach(), torch.zeros(2, D))
    assert torch.equal(_run(network, IDS), expected)
    assert torch.equal(_run(plain, IDS), expected), "no hook is left"


def test_other_vectors_move_what_follows_them_only(plain):
    network = _given(plain)
    network.give(10 * _draw(2, 2, D), torch.zeros(2, D))
    moved = (_run(network, IDS) - _run(plain, IDS)).abs().amax(dim=-1) > 1e-3
    assert moved[:, 1:].all()
    assert not moved[:, 0].any()


def test_the_shift_is_gated_by_the_state_itself(plain):
    gate, beside = _draw(D + 1, seed=1), _draw(2, D, seed=2)
    network, h = _given(plain, gate), _run(plain, IDS)
    entering = plain.layers(plain.embed(IDS), torch.ones_like(IDS, dtype=torch.bool))[BLOCK]
    network.give(entering[:, 1:3].detach(), beside)
    share = 1 / (1 + torch.exp(-((h * gate[:-1]).sum(dim=-1) + gate[-1])))
    torch.testing.assert_close(_run(network, IDS), h + share[..., None] * beside[:, None])


def test_rows_that_end_early_leave_their_vectors(plain):
    network, n = _given(plain), 6
    inside, beside = 3 * _draw(n, 2, D), 3 * _draw(n, D, seed=4)
    opened = torch.full((n, 3), 3)
    stop = tuple(range(0, 60, 3))

    def written(rows):
        network.give(inside[rows], beside[rows])
        embeds = network.embed(opened[rows])
        mask = torch.ones(embeds.shape[:2], dtype=torch.bool)
        return [w.ids for w in write(network, embeds, mask, stop=stop, limit=8)]

    together = written(list(range(n)))
    assert len({len(ids) for ids in together}) > 1, "some end before others"
    assert together == [written([i])[0] for i in range(n)]


def test_logits_of_some_tokens_are_those_of_all(plain):
    h, some = _draw(4, D), torch.tensor([5, 2, 40])
    torch.testing.assert_close(plain.logits(h, some), plain.logits(h)[:, some])
