"""What the loss is made of, beside plain passes of one rollout at a time."""

from dataclasses import replace

import pytest
import torch

from reasoning.hybrid.objective import advantages, divergence
from reasoning.hybrid.ratios import hidden_ratios
from workbench.latent.gate import Gate, GateShape
from workbench.latent.mixture import EmbeddingTable
from workbench.latent.replay import LatentRollout


@pytest.fixture
def cool(learner):
    """A learner whose temperature is not 1."""
    one = learner()
    one.preset = replace(one.preset, temperature=0.5, at_once=2)
    return one


@torch.no_grad()
def _plain(module, rollout, temperature, vectors=None):
    """The log-probabilities of a response, from one pass over tokens or vectors."""
    fed = torch.tensor([rollout.prompt + rollout.response[:-1]])
    given = module.get_input_embeddings()(fed) if vectors is None else vectors
    logits = module(inputs_embeds=given).logits[0, len(rollout.prompt) - 1 :].float()
    chosen = torch.tensor(rollout.response)[:, None]
    return (logits / temperature).log_softmax(dim=-1).gather(1, chosen)[:, 0]


@torch.no_grad()
def _hybrid(learner, rollout):
    """What the policy was fed: gated mixtures where a step was latent, token by token."""
    embed = learner.adapter.module.get_input_embeddings()
    rows = [embed(torch.tensor(rollout.prompt))]
    for t, token in enumerate(rollout.response[:-1]):
        plain = embed(torch.tensor([token]))
        if bool(rollout.latent[t]):
            h = (rollout.weights[t][:, None] * learner.table.weight[rollout.ids[t]]).sum(dim=0)
            h = h / rollout.weights[t].square().sum().sqrt()
            plain = learner.gate.opening(plain).mix(plain, h[None])
        rows.append(plain)
    return torch.cat(rows)[None]


def test_the_policy_is_hybrid_and_cool_and_its_reference_sees_tokens_only(cool, taught):
    rollouts = cool.rollouts(taught[:3], seed=1)
    assert any(bool(r.latent.any()) for r in rollouts)
    gains = advantages([1.0, 0.0, 0.0, 1.0] * 3, 4)
    pieces = [(float(loss.detach()), kl) for loss, kl in cool.losses(rollouts, gains)]
    loss = distance = 0.0
    for gain, rollout in zip(gains, rollouts, strict=True):
        own = _plain(cool.adapter.module, rollout, 0.5, _hybrid(cool, rollout))
        reference = _plain(cool.reference.backend.module, rollout, 0.5)
        kl = divergence(own[None], reference[None])[0]
        distance += float(kl.mean())
        loss -= float((gain * own - cool.setting.beta * kl).mean()) / len(rollouts)
    assert distance > 0.01
    assert sum(kl for _, kl in pieces) == pytest.approx(distance, rel=1e-3)
    assert sum(one for one, _ in pieces) == pytest.approx(loss, rel=1e-3)


@torch.no_grad()
def test_hidden_ratios_are_means_over_steps_of_each_steps_own_ratio(network):
    table = EmbeddingTable(network)
    draw = torch.Generator().manual_seed(2)
    gate = Gate(network.spec.d_model, GateShape(r_min=0.1, r_max=0.9), generator=draw)
    ids = torch.tensor([[4, 5], [6, 7], [8, 9], [4, 9]])
    weights = torch.tensor([[0.9, 0.1], [0.5, 0.4], [0.3, 0.3], [0.8, 0.2]])
    one = LatentRollout(
        prompt=(4,), response=(5, 6, 7, 8), stopped=True,
        latent=torch.tensor([True, True, False, True]), ids=ids, weights=weights,
    )  # fmt: skip
    shares, ratios, opened = [], [], []
    for t in (0, 1, 3):
        token = table.weight[one.response[t]].float()
        opening = gate.opening(token)
        h = (weights[t][:, None] * table.weight[ids[t]].float()).sum(0)
        h = h / weights[t].square().sum().sqrt()
        part = float((opening.s * opening.i * h).norm())
        shares.append(part / (part + float((opening.a * token).norm())))
        ratios.append(float((1 - opening.a**2).sqrt().mean()))
        opened.append(float(opening.a.mean()))
    found = hidden_ratios(gate, table, [one])
    assert found["norm_share"] == pytest.approx(sum(shares) / 3, rel=1e-5)
    assert found["mean_ratio"] == pytest.approx(sum(ratios) / 3, rel=1e-5)
    assert found["ratio_of_mean"] == pytest.approx((1 - (sum(opened) / 3) ** 2) ** 0.5, rel=1e-5)
