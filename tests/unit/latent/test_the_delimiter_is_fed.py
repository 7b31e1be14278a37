"""The token that completes the delimiter belongs to the answer: it is fed as it is."""

import pytest
import torch

from workbench.latent.inputs import GatedMixture, SoftTokens
from workbench.latent.replay import rollouts_of
from workbench.latent.thinking import LatentThinking
from workbench.model.generation import GenerationOptions
from workbench.model.policy import Sampling
from workbench.model.sites import Kind, Site

EMBED = Site(Kind.EMBED)


@pytest.mark.parametrize("gated", [True, False])
def test_the_delimiter_is_no_latent_step(tiny_llama, batch, gate, gated):
    policy = LatentThinking(
        inputs=GatedMixture(gate=gate) if gated else SoftTokens(),
        sampling=Sampling(temperature=0.7),
        delimiter=tiny_llama.decode([11]),
        script=[(9, 10, 11, 12)] * 3,
        keep=4,
    )
    options = GenerationOptions(seeds=1, stop_ids=())
    found = tiny_llama.generate(batch, policy=policy, limit=6, options=options, read=(EMBED,))
    width = batch.ids.shape[1]
    fed = found.activations[EMBED][:, width:]
    plain = tiny_llama.embed(found.tokens.ids)[:, width:]
    is_plain = (fed == plain).all(dim=-1)
    assert is_plain.tolist() == [[False, False, True, True, True]] * 3
    for rollout in rollouts_of(found):
        assert rollout.latent.tolist() == [True, True, False, False, False, False]
    assert [bool(r.thinking.all()) for r in found.records] == [True, True] + [False] * 4
    assert torch.equal(found.latent[:, width:], ~is_plain)
