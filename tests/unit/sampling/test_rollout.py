"""Rollouts from the shared prefix equal fresh runs, whatever the batch."""

import pytest
import torch

from workbench.errors import FitError, Unsupported
from workbench.model.policy import Sampling
from workbench.model.tiny import tiny_model
from workbench.sampling.branch import Branch
from workbench.sampling.rollout import RolloutOptions, RolloutQueue, Trajectory

PROMPT, RESPONSE = (3, 5, 7, 9), (11, 4, 8, 20, 33, 6, 2, 19, 40, 12)
LIMIT, STOP = 12, 1


def rollouts(model, branches, *, rows=4, temperature=1.0, top_p=0.95, seed=3, order=1):
    options = RolloutOptions(
        policy=Sampling(temperature=temperature, top_p=top_p), limit=LIMIT, rows=rows, seed=seed
    )
    queue = RolloutQueue(Trajectory(model, PROMPT, RESPONSE, options), stop_ids=[STOP])
    queue.add(branches[::order])
    return {rollout.branch: rollout for rollout in queue}


def greedy_fresh(model, position):
    ids, out = [*PROMPT, *RESPONSE[:position]], []
    while len(out) < LIMIT and (not out or out[-1] != STOP):
        logits = model.backend.module(torch.tensor([[*ids, *out]])).logits[0, -1]
        out.append(int(logits.argmax()))
    return tuple(out)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama", "qwen2", "opt"])
def test_greedy_rollouts_equal_fresh_runs(family):
    model = tiny_model(family)
    branches = [Branch(position=i, draw=0) for i in range(len(RESPONSE) + 1)]
    found = rollouts(model, branches, temperature=0.0)
    assert len(found) == len(branches)
    for branch, rollout in found.items():
        assert rollout.tokens == greedy_fresh(model, branch.position)
        assert rollout.stopped == (rollout.tokens[-1] == STOP)


def test_sampled_rollouts_do_not_depend_on_batch_or_order():
    model = tiny_model("llama")
    branches = [Branch(position=i, draw=d) for i in (0, 3, 7, 10) for d in range(6)]
    wanted = rollouts(model, branches, rows=1)
    assert rollouts(model, branches, rows=5) == wanted
    assert rollouts(model, branches, rows=24, order=-1) == wanted
    half = rollouts(model, branches[::2])
    assert half == {branch: wanted[branch] for branch in branches[::2]}
    assert rollouts(model, branches, seed=4) != wanted


def test_branches_may_be_added_while_the_queue_runs():
    model = tiny_model("llama")
    options = RolloutOptions(limit=LIMIT, rows=3)
    queue = RolloutQueue(Trajectory(model, PROMPT, RESPONSE, options), stop_ids=[STOP])
    queue.add([Branch(position=2, draw=0)])
    seen = []
    for rollout in queue:
        seen.append(rollout.branch)
        if len(seen) < 9:
            queue.add([Branch(position=len(seen) % 5, draw=len(seen))])
    assert len(seen) == len(set(seen)) == 9


def test_dropped_branches_are_not_drawn():
    model = tiny_model("llama")
    options = RolloutOptions(limit=LIMIT, rows=2)
    queue = RolloutQueue(Trajectory(model, PROMPT, RESPONSE, options), stop_ids=[STOP])
    queue.add(Branch(position=i, draw=0) for i in range(8))
    queue.drop(lambda branch: branch.position > 5)
    assert {rollout.branch.position for rollout in queue} == {6, 7}


def test_banned_token_is_never_first_and_the_rest_is_renormalised():
    model = tiny_model("llama")
    options = RolloutOptions(policy=Sampling(temperature=1.0), limit=2, rows=64)
    trajectory = Trajectory(model, PROMPT, RESPONSE, options)
    p = trajectory.distribution([4])[0]
    banned = int(p.argmax())
    after = trajectory.first_token([Branch(position=4, draw=0, banned=banned)])[0]
    assert after[banned] == 0
    kept = torch.arange(len(p)) != banned
    torch.testing.assert_close(after[kept], p[kept] / p[kept].sum())
    found = rollouts(model, [Branch(position=4, draw=d, banned=banned) for d in range(50)])
    assert all(rollout.tokens[0] != banned for rollout in found.values())


def test_full_branches_ignore_the_policy_for_the_first_token():
    model = tiny_model("llama")
    options = RolloutOptions(policy=Sampling(temperature=0.1, top_p=0.5), limit=2)
    trajectory = Trajectory(model, PROMPT, RESPONSE, options)
    p = trajectory.first_token([Branch(position=1, draw=0, full=True)])[0]
    torch.testing.assert_close(p, trajectory.logits([1])[0].softmax(-1))


def test_nothing_left_to_draw_is_said():
    model = tiny_model("llama")
    options = RolloutOptions(policy=Sampling(temperature=0.0), limit=2)
    trajectory = Trajectory(model, PROMPT, RESPONSE, options)
    banned = int(trajectory.logits([0])[0].argmax())
    with pytest.raises(FitError, match="no other token"):
        trajectory.first_token([Branch(position=0, draw=0, banned=banned)])


def test_other_backends_are_refused_with_the_remedy():
    model = tiny_model("llama", backend="nnsight")
    with pytest.raises(Unsupported, match="hooks"):
        Trajectory(model, PROMPT, RESPONSE, RolloutOptions())


def test_the_model_itself_is_left_as_it_was():
    model = tiny_model("llama")
    ids = torch.tensor([[*PROMPT]])
    before = model.backend.module(ids).logits
    rollouts(model, [Branch(position=3, draw=d) for d in range(4)])
    assert torch.equal(model.backend.module(ids).logits, before)
