"""What is trained: gradients where they belong, exact zeros, decay, saving and resuming."""

import json
from dataclasses import replace

import pytest
import torch

from reasoning.hybrid.ablation_run import AblationSeed, run_ablation
from reasoning.hybrid.objective import advantages
from reasoning.hybrid.reinforce import (
    CURVES,
    Reinforcement,
    optimiser,
    parameters,
    reinforce,
    update,
)
from workbench.latent.gate import Gate
from workbench.latent.replay import Batch
from workbench.latent.trained import RECIPE, hybrid_tensors, open_hybrid
from workbench.methods.contracts import Context
from workbench.model.generation import GenerationOptions
from workbench.model.tokens import pad
from workbench.progress import silent
from workbench.sampling.marked import is_marked_right
from workbench.training.checkpoint import Checkpoint, Manifest

HOW = Reinforcement(reward=lambda problem, text: float(len(text) % 2), save_every=2)


def _backward(learner, taught, rewards):
    rollouts = learner.rollouts(taught[:3], seed=1)
    for piece, _ in learner.losses(rollouts, advantages(rewards, learner.preset.responses)):
        piece.backward()
    return rollouts


def test_every_trained_weight_gets_a_gradient(learner, taught):
    one = learner()
    _backward(one, taught, [1.0, 0.0, 0.0, 1.0] * 3)
    for name, parameter in parameters(one).items():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name
    assert all(p.grad is None for p in one.base.backend.module.parameters())


def test_equal_rewards_without_a_distance_give_exactly_zero(learner, taught):
    one = learner(beta=0.0)
    _backward(one, taught, [1.0] * 12)
    assert not any(bool(p.grad.any()) for p in parameters(one).values())


def test_replay_gives_the_log_probabilities_of_the_rollouts(learner, taught):
    one = learner()
    policy, prompts = one.policy(), taught[:3]
    rollouts = one.rollouts(prompts, seed=1)
    assert len(rollouts) == 12
    assert any(bool(r.latent.any()) for r in rollouts)
    batch = Batch.of(rollouts, one.base.device)
    with torch.no_grad():
        found = one.logprobs(batch)
    script = [tuple(int(t) for t in r.response) for r in rollouts]
    for i, row in enumerate(script):
        again = one.adapter.model.generate(
            pad([rollouts[i].prompt], side="left"),
            policy=replace(policy, script=[row]),
            limit=len(row),
            options=GenerationOptions(stop_ids=()),
        )
        stepwise = torch.stack([record.logprob[0] for record in again.records])
        torch.testing.assert_close(found[i, : len(row)], stepwise, atol=1e-3, rtol=0)


def test_the_adapter_off_is_the_base_bit_for_bit(learner, taught):
    one = learner()
    ids = torch.tensor([taught[0].prompt])
    with one.adapter.off():
        off = one.adapter.module(input_ids=ids).logits
    assert torch.equal(off, one.base.backend.module(input_ids=ids).logits)


@pytest.mark.parametrize(("arm", "decays"), [("decay-only", True), ("hrpo-no-decay", False)])
def test_decay_acts_on_lambda_only_where_asked(learner, arm, decays):
    one = learner(arm)
    before = one.gate.lam.detach().clone()
    stepper = optimiser(one, HOW)
    for parameter in parameters(one).values():
        parameter.grad = torch.zeros_like(parameter)
    for _ in range(5):
        update(one, stepper, HOW, 1.0)
    expected = before * (1 - one.preset.lam_rate * HOW.decay) ** 5 if decays else before
    torch.testing.assert_close(one.gate.lam.detach(), expected, rtol=1e-6, atol=0)


def test_decay_only_learns_nothing_else(learner, taught):
    one = learner("decay-only")
    ratio = one.gate.recurrence_weight.detach().clone()
    _backward(one, taught, [1.0, 0.0, 0.0, 1.0] * 3)
    update(one, optimiser(one, HOW), HOW, 1.0)
    expected = ratio * (1 - one.preset.gate_rate * HOW.decay)
    torch.testing.assert_close(one.gate.recurrence_weight.detach(), expected)


def test_a_stopped_training_goes_on_to_the_same_numbers(learner, taught, tmp_path):
    def stop(done, total, what):
        if done == 3:
            raise KeyboardInterrupt

    def run(folder, steps, resume, stopped=False):
        one = learner()
        one.preset = replace(one.preset, steps=steps)
        context = Context(
            seed=0,
            progress=stop if stopped else silent,
            scratch=folder,
            resume=resume,
        )
        curve = reinforce(one, taught, HOW, identity="same", context=context)
        return one, curve

    whole, curve = run(tmp_path / "whole", 4, False)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", 4, False, stopped=True)
    resumed, again = run(tmp_path / "cut", 4, True)
    assert again == curve
    assert len((tmp_path / "cut" / CURVES).read_text().splitlines()) == 4
    for name, parameter in parameters(whole).items():
        assert torch.equal(parameter, parameters(resumed)[name]), name


@pytest.mark.parametrize("arm", [pytest.param("grpo", marks=pytest.mark.slow), "hrpo"])
def test_a_planted_reward_is_learnt_and_an_unrelated_one_is_not(learner, taught, tmp_path, arm):
    def run(name, reward):
        one = learner(arm)
        one.preset = replace(one.preset, steps=15, responses=8, rate=2e-2, new_tokens=3)
        how = replace(HOW, reward=reward)
        context = Context(scratch=tmp_path / name, resume=False)
        reinforce(one, taught, how, identity=name, context=context)
        texts = [one.text(r.response) for r in one.rollouts(taught * 4, seed=5)]
        return sum("7" in text for text in texts) / len(texts)

    coin = torch.Generator().manual_seed(0)
    planted = run("planted", lambda problem, text: float("7" in text))
    unrelated = run("unrelated", lambda problem, text: float(torch.rand(1, generator=coin) < 0.5))
    assert planted > unrelated + 0.3


def test_arms_of_a_seed_see_the_same_problems_and_numbers(learner, taught):
    plain, gated = learner("grpo"), learner("hrpo")
    closed = torch.full_like(gated.gate.lam, 1e4)
    with torch.no_grad():
        gated.gate.lam.copy_(closed)
    first, second = (one.rollouts(taught[:3], seed=7) for one in (plain, gated))
    assert [r.response for r in first] == [r.response for r in second]


def test_an_arm_is_kept_and_comes_back(shared, network, tmp_path):
    one = AblationSeed(ablation="hrpo", seed=0)
    run_ablation(one, shared, (network, None), (tmp_path, False), silent)
    story = json.loads((tmp_path / one.folder / "judged.json").read_bytes())
    assert len(story["curve"]) == shared.preset.steps
    assert len(story["judged"]["right"]) == shared.preset.judged
    found = open_hybrid(network, str(tmp_path / one.folder))
    assert isinstance(found.gate, Gate)
    assert found.mark == "####"
    again = open_hybrid(network, str(tmp_path / one.folder))
    assert torch.equal(found.gate.lam, again.gate.lam)
    stamp = (tmp_path / one.folder / "judged.json").stat().st_mtime_ns
    run_ablation(one, shared, (network, None), (tmp_path, True), silent)
    assert (tmp_path / one.folder / "judged.json").stat().st_mtime_ns == stamp


def test_what_was_saved_thinks_bit_for_bit_as_what_was_trained(learner, taught, tmp_path):
    one = learner()
    _backward(one, taught, [1.0, 0.0, 0.0, 1.0] * 3)
    update(one, optimiser(one, HOW), HOW, 1.0)
    manifest = Manifest(
        recipe=RECIPE,
        options={"adapter": one.adapter.shape.as_dict(), "width": one.setting.width},
        base_model=one.base.spec.name,
        base_hash=one.base.spec.weights_hash,
        seed=0,
        data_hash="",
    )
    kept = Checkpoint(manifest=manifest, tensors=hybrid_tensors(one.adapter, one.gate))
    kept.save(tmp_path / "kept")
    found = open_hybrid(one.base, str(tmp_path / "kept"))
    prompts = pad([objective.prompt for objective in taught[:3]], side="left")
    policy = replace(one.policy(), vectors=True)
    options = GenerationOptions(seeds=2, stop_ids=())
    before, after = (
        model.generate(prompts, policy=replace(policy, inputs=inputs), limit=10, options=options)
        for model, inputs in ((one.adapter.model, one.inputs), (found.model, found.inputs()))
    )
    assert before.generated == after.generated
    assert any(bool(record.latent.any()) for record in before.records)
    for old, new in zip(before.records, after.records, strict=True):
        assert torch.equal(old.logprob, new.logprob)
        assert (old.vector is None) is (new.vector is None)
        assert old.vector is None or torch.equal(old.vector, new.vector)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("1+2=3 #### 1,234", True),
        ("#### 1234.", True),
        ("#### $1,234", True),
        ("#### 234", False),
        ("#### 1234 apples", False),
        ("#### 1234 #### 1234", False),
        ("##### 1234", False),
        ("1234", False),
        ("####", False),
    ],
)
def test_the_reward_reads_strictly(text, right):
    assert is_marked_right(text, "1,234") is right
