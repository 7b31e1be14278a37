"""Reward-guided decoding is the product of the model and its rewards."""

import pytest
import torch

from reasoning.policy_reward import RewardGuided, product
from workbench.errors import BadOption
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import GREEDY, Sampling
from workbench.model.tiny import tiny_model
from workbench.model.tokens import pad

PROMPTS = ([5, 9, 11], [7], [3, 4, 5, 6, 8, 3, 4, 5])
FREE = GenerationOptions(stop_ids=(), keep_logprobs=True, keep_logits=True, seeds=3)
BASE, REWARD = torch.tensor([[0.5, 0.3, 0.2]]), torch.tensor([[0.2, 0.2, 0.6]])


def test_the_product_of_the_paper() -> None:
    found = product(BASE.log(), [REWARD.log()], [1.0]).softmax(dim=-1)
    assert found[0].tolist() == pytest.approx([0.357, 0.214, 0.429], abs=5e-4)
    even = product(BASE.log(), [torch.zeros(1, 3)], [1.0]).softmax(dim=-1)
    assert even[0].tolist() == pytest.approx(BASE[0].tolist())
    itself = product(BASE.log(), [BASE.log()], [2.0]).softmax(dim=-1)
    assert itself[0].tolist() == pytest.approx((BASE[0] ** 3 / (BASE**3).sum()).tolist())
    several = product(BASE.log(), [REWARD.log(), BASE.log()], [0.5, 0.25]).softmax(dim=-1)
    wanted = BASE**1.25 * REWARD**0.5
    assert several[0].tolist() == pytest.approx((wanted / wanted.sum())[0].tolist())


@pytest.mark.parametrize("base", [GREEDY, Sampling(temperature=0.8)])
def test_weight_zero_is_the_base_to_the_bit(tiny_llama: Model, base: Sampling) -> None:
    off = RewardGuided(rewards=(tiny_model("llama", seed=2),), weights=(0.0,), base=base)
    plain, found = (
        tiny_llama.generate(pad(PROMPTS), limit=9, policy=one, options=FREE) for one in (base, off)
    )
    assert plain.generated == found.generated
    assert plain.logprobs == found.logprobs
    assert plain.logits is not None
    assert found.logits is not None
    assert torch.equal(plain.logits, found.logits)


@pytest.mark.parametrize("tiny", ["llama", "gpt2"], indirect=True)
def test_every_token_follows_from_runs_of_both_models(tiny: Model) -> None:
    reward = tiny_model(tiny.spec.name.split(":")[1], seed=2)
    policy = RewardGuided(rewards=(reward,), weights=(1.5,))
    found = tiny.generate(pad(PROMPTS), limit=8, policy=policy, options=FREE)
    for prompt, written in zip(PROMPTS, found.generated, strict=True):
        text = pad([[*prompt, *written]])
        base, other = (one.run(text, logits="all").logits for one in (tiny, reward))
        assert base is not None
        assert other is not None
        sums = base.log_softmax(dim=-1) + 1.5 * other.log_softmax(dim=-1)
        assert tuple(sums[0, len(prompt) - 1 : -1].argmax(dim=-1).tolist()) == written
    told = found.records[3].rows(0)
    assert sum(one["chosen"] for one in told) == 1
    assert told[0]["kl"] > 0


def test_a_model_rewards_itself_with_a_lower_temperature(tiny_llama: Model) -> None:
    sampled = Sampling(temperature=1.0)
    found = tiny_llama.generate(
        pad(PROMPTS), limit=9, policy=RewardGuided(weights=(1.0,), base=sampled), options=FREE
    )
    half = tiny_llama.generate(
        pad(PROMPTS), limit=9, policy=Sampling(temperature=0.5), options=FREE
    )
    assert found.generated == half.generated


def test_rewards_must_fit(tiny_llama: Model) -> None:
    with pytest.raises(BadOption, match="one each"):
        RewardGuided(weights=(1.0, 2.0))
    with pytest.raises(BadOption, match="finite"):
        RewardGuided(weights=(float("nan"),))
