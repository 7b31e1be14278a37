"""Replaying rollouts: the same log-probabilities, and gradients only where they belong."""

import torch

from workbench.latent.gate import Gate, GateShape
from workbench.latent.inputs import GatedMixture
from workbench.latent.mixture import EmbeddingTable
from workbench.latent.replay import (
    Batch,
    fed_vectors,
    replayed_logits,
    rollouts_of,
    token_logprobs,
)
from workbench.latent.thinking import LatentThinking
from workbench.model.generation import GenerationOptions
from workbench.model.policy import Sampling

TEMPERATURE = 0.7


def _rollouts(model, batch, gate, width=8, limit=12):
    policy = LatentThinking(
        inputs=GatedMixture(gate=gate, width=width),
        sampling=Sampling(temperature=TEMPERATURE),
        delimiter="=",
        keep=width,
    )
    options = GenerationOptions(seeds=1)
    trace = model.generate(batch, policy=policy, limit=limit, options=options)
    return trace, rollouts_of(trace)


def _replayed(model, gate, rollouts, **changes):
    whole = Batch.of(rollouts, model.device)
    whole = Batch(**{**vars(whole), **changes})
    module = model.backend.module
    vectors = fed_vectors(module, EmbeddingTable(model), gate, whole)
    return token_logprobs(replayed_logits(module, vectors, whole), whole, TEMPERATURE), whole


def test_replay_gives_the_log_probabilities_of_the_generation(tiny, batch):
    shape = GateShape(r_min=0.2, r_max=0.4)
    gate = Gate(tiny.spec.d_model, shape, generator=torch.Generator().manual_seed(5))
    trace, rollouts = _rollouts(tiny, batch, gate)
    found, _ = _replayed(tiny, gate, rollouts)
    assert len({len(r.prompt) for r in rollouts}) == 3
    for i, rollout in enumerate(rollouts):
        assert rollout.response == trace.generated[i]
        stepwise = [float(r.logprob[i]) for r in trace.records[: len(rollout.response)]]
        torch.testing.assert_close(
            found[i, : len(stepwise)].detach(), torch.tensor(stepwise), atol=1e-4, rtol=0
        )


def test_dropping_the_mask_or_the_latents_shows(tiny_llama, batch, gate):
    _, rollouts = _rollouts(tiny_llama, batch, gate)
    right, whole = _replayed(tiny_llama, gate, rollouts)
    unmasked, _ = _replayed(tiny_llama, gate, rollouts, mask=torch.ones_like(whole.mask))
    assert float((right - unmasked).abs().max().detach()) > 0.05
    plain, _ = _replayed(tiny_llama, None, rollouts)
    assert float((right - plain).abs().max().detach()) > 0.05


def test_gradients_reach_the_gate_and_not_the_mixture(tiny_llama, batch, gate):
    _, rollouts = _rollouts(tiny_llama, batch, gate)
    whole = Batch.of(rollouts, tiny_llama.device)
    weights = whole.weights.clone().requires_grad_(True)
    logprobs, _ = _replayed(tiny_llama, gate, rollouts, weights=weights)
    logprobs.sum().backward()
    assert weights.grad is None
    for name, parameter in gate.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


def test_batch_of_one(tiny_llama, batch, gate):
    trace, rollouts = _rollouts(tiny_llama, batch.take([1]), gate)
    found, _ = _replayed(tiny_llama, gate, rollouts)
    assert found.shape == (1, len(trace.generated[0]))
