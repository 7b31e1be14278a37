"""Hidden-state optimisation: its slope, its off-switch, and what is booked before it is used."""

import pytest
import torch

from reasoning.policy_hidden_states import (
    Adam,
    HiddenStateOptimisation,
    slopes_of,
    window_loss,
)
from workbench.errors import BadOption
from workbench.model.caches import new_key_value_cache
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import GREEDY, Sampling
from workbench.model.tokens import pad
from workbench.training.network import Network

PROMPTS = ([5, 9, 11, 20, 8], [7, 12])
FREE = GenerationOptions(stop_ids=(), keep_logprobs=True, seeds=3)
WINDOW = [8, 21, 30, 14]


@pytest.mark.parametrize("tiny", ["llama", "gpt2"], indirect=True)
def test_a_small_step_gains_the_square_of_the_slope_and_a_random_one_nothing(tiny: Model) -> None:
    network = Network(tiny.backend.module)
    cache = new_key_value_cache(tiny.backend.module)
    with torch.no_grad():
        network.states(network.embed(torch.tensor([PROMPTS[0][:4]])), torch.ones(1, 4) > 0,
                       cache=cache)  # fmt: skip
    states = [x.detach() for layer in cache.layers for x in (layer.keys, layer.values)]
    loss, slopes = slopes_of(network, cache, states, WINDOW)
    logits = tiny.run(pad([[*PROMPTS[0][:4], *WINDOW]]), logits="all").logits
    assert logits is not None
    logp = logits[0].log_softmax(dim=-1)
    told = [float(logp[4 + i, token]) for i, token in enumerate(WINDOW[1:])]
    assert loss == pytest.approx(-sum(told) / 3, rel=1e-4)
    size = sum(float(g.square().sum()) for g in slopes)
    generator, eps = torch.Generator().manual_seed(0), 0.02 / size**0.5
    noise = [torch.randn(g.shape, generator=generator) for g in slopes]
    length = sum(float(x.square().sum()) for x in noise)
    by_chance = [x * (size / length) ** 0.5 for x in noise]

    def gain(steps: list[torch.Tensor]) -> float:
        ends = [
            float(window_loss(network, cache, [h - sign * eps * g for h, g in
                  zip(states, steps, strict=True)], WINDOW))
            for sign in (1, -1)
        ]  # fmt: skip
        return (ends[1] - ends[0]) / 2

    with torch.no_grad():
        assert gain(slopes) == pytest.approx(eps * size, rel=0.02)
        assert abs(gain(by_chance)) < 0.2 * eps * size


@pytest.mark.parametrize("base", [GREEDY, Sampling(temperature=1.2)])
def test_a_rate_of_zero_is_the_base_to_the_bit(tiny_llama: Model, base: Sampling) -> None:
    plain, off = (
        tiny_llama.generate(pad(PROMPTS), limit=9, policy=one, options=FREE)
        for one in (base, HiddenStateOptimisation(rate=0.0, base=base))
    )
    assert (plain.generated, plain.logprobs) == (off.generated, off.logprobs)


@pytest.mark.parametrize("tiny", ["llama", "gpt2"], indirect=True)
def test_a_window_is_booked_before_it_is_used_and_what_follows_moves(tiny: Model) -> None:
    plain, found = (
        tiny.generate(pad(PROMPTS), limit=9, policy=one, options=FREE)
        for one in (GREEDY, HiddenStateOptimisation(rate=0.03, window=4))
    )
    for row in range(2):
        assert found.generated[row][:4] == plain.generated[row][:4]
        assert found.logprobs[row][:4] == pytest.approx(plain.logprobs[row][:4], abs=1e-5)
        assert found.logprobs[row][4] != pytest.approx(plain.logprobs[row][4], abs=1e-4)
    told = [one.record for one in found.records if one.row == 0]
    assert len(told) == 2
    assert told[0].before - told[0].after > abs(told[0].random - told[0].before)
    weights = [p.grad for p in tiny.backend.module.parameters()]
    assert all(grad is None for grad in weights)
    with pytest.raises(BadOption):
        HiddenStateOptimisation(window=0)


def test_every_cached_position_has_moments_of_its_own() -> None:
    adam = Adam(rate=0.1)
    first = adam.steps([torch.full((1, 1, 2, 1), 3.0)])[0]
    assert first.flatten().tolist() == pytest.approx([0.1, 0.1], rel=1e-4)
    both = adam.steps([torch.tensor([0.0, 0.0, 5.0])[None, None, :, None]])[0].flatten()
    assert float(both[2]) == pytest.approx(0.1, rel=1e-4)
    assert float(both[0]) == pytest.approx(
        0.1 * 0.9 * 0.1 / 0.19 / (0.999e-3 / 1.999e-3) ** 0.5, rel=1e-3
    )
