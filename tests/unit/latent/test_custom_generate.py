"""The policy inside transformers' `generate`: the same tokens as in the library's own loop."""

from dataclasses import replace

import pytest
import torch

from workbench.latent.custom_generate import LatentGenerate
from workbench.latent.inputs import GatedMixture, HiddenFeedback, SoftTokens, TokenInput
from workbench.latent.thinking import LatentThinking
from workbench.model.generation import GenerationOptions
from workbench.model.policy import Sampling

WARM = Sampling(temperature=0.7)


def _theirs(model, batch, policy, limit=12, **more):
    found = LatentGenerate(model, policy, seed=3)
    module = model.backend.module
    ids = module.generate(
        batch.ids,
        attention_mask=batch.mask.long(),
        custom_generate=found,
        max_new_tokens=limit,
        do_sample=False,
        **more,
    )
    return found, ids[:, batch.ids.shape[1] :]


@pytest.mark.parametrize("greedy", [True, False])
@pytest.mark.parametrize("kind", ["tokens", "gate", "soft", "hidden"])
def test_it_writes_what_the_loop_writes(tiny_llama, batch, gate, kind, greedy):
    inputs = {
        "tokens": TokenInput(),
        "gate": GatedMixture(gate=gate),
        "soft": SoftTokens(),
        "hidden": HiddenFeedback(),
    }[kind]
    policy = LatentThinking(inputs=inputs, sampling=WARM, greedy=greedy, delimiter="=", keep=2)
    options = GenerationOptions(seeds=3, stop_ids=())
    ours = tiny_llama.generate(batch, policy=policy, limit=12, options=options).generated
    found, theirs = _theirs(tiny_llama, batch, policy, eos_token_id=None)
    assert theirs.tolist() == [list(row) for row in ours]
    assert len(found.records) == 12


def test_rows_that_end_are_padded_as_transformers_does(tiny_llama, batch):
    policy = LatentThinking(inputs=TokenInput(), sampling=WARM, greedy=True)
    _, free = _theirs(tiny_llama, batch, policy, eos_token_id=None)
    stop = int(free[0, 3])
    _, found = _theirs(tiny_llama, batch, policy, eos_token_id=stop, pad_token_id=0)
    plain = tiny_llama.backend.module.generate(
        batch.ids,
        attention_mask=batch.mask.long(),
        max_new_tokens=12,
        do_sample=False,
        eos_token_id=stop,
        pad_token_id=0,
    )[:, batch.ids.shape[1] :]
    assert torch.equal(found, plain)


def test_a_batch_of_one(tiny_llama, batch, gate):
    policy = LatentThinking(inputs=GatedMixture(gate=gate), sampling=WARM, greedy=True)
    _, together = _theirs(tiny_llama, batch, replace(policy, keep=1), eos_token_id=None)
    _, alone = _theirs(tiny_llama, batch.take([1]).left(), policy, eos_token_id=None)
    assert torch.equal(alone[0], together[1])
