"""Rollouts are right for every kind of attention, shared prefix or not."""

import pytest

from tests.unit.model.rare_models import SWITCH, TEXT, greedy, rare_model
from workbench.errors import BadOption
from workbench.model.policy import Sampling
from workbench.model.tiny import tiny_model
from workbench.sampling.branch import Branch
from workbench.sampling.rollout import RolloutOptions, RolloutQueue, Trajectory

LIMIT = 6
N_PROMPT = 4

SHARED = ("mistral", "gpt_oss")
APART = ("gptj", "jamba", "phi3")
SLOW = (
    "mixtral",
    "cohere2",
    "deepseek_v3",
    "gpt_neo",
    "diffllama",
    "falcon_h1",
    "lfm2",
    "minimax",
    "qwen3_next",
    "recurrent_gemma",
)


def _trajectory(kind: str, *, temperature: float = 0.0, rows: int = 3) -> Trajectory:
    options = RolloutOptions(policy=Sampling(temperature=temperature), limit=LIMIT, rows=rows)
    return Trajectory(rare_model(kind), TEXT[:N_PROMPT], TEXT[N_PROMPT:], options)


def _rollouts(trajectory: Trajectory, branches: list[Branch]) -> dict[Branch, tuple[int, ...]]:
    queue = RolloutQueue(trajectory, stop_ids=[])
    queue.add(branches)
    return {rollout.branch: rollout.tokens for rollout in queue}


@pytest.mark.parametrize(
    "kind", [*SHARED, *APART, *(pytest.param(k, marks=pytest.mark.slow) for k in SLOW)]
)
def test_greedy_rollouts_equal_whole_passes(kind: str) -> None:
    trajectory = _trajectory(kind)
    assert (trajectory.prefix is not None) == (kind in (*SHARED, "mixtral", "cohere2"))
    # Rows before and behind a window, and on both sides of the length where frequencies change.
    branches = [Branch(position=p, draw=0) for p in (0, 2, 9, SWITCH - N_PROMPT, 15)]
    found = _rollouts(trajectory, branches)
    assert len(found) == len(branches)
    for branch, tokens in found.items():
        wanted, _ = greedy(trajectory.model, TEXT[: N_PROMPT + branch.position], LIMIT)
        assert tokens == wanted


@pytest.mark.parametrize("kind", ["phi3", "jamba"])
def test_sampled_rollouts_without_a_shared_prefix_do_not_depend_on_company(kind: str) -> None:
    branches = [Branch(position=p, draw=d) for p in (1, 11) for d in range(3)]
    wanted = _rollouts(_trajectory(kind, temperature=1.0, rows=1), branches)
    assert _rollouts(_trajectory(kind, temperature=1.0, rows=4), branches) == wanted


def test_a_rollout_ends_where_the_context_is_full() -> None:
    model = tiny_model("gpt2")
    room = model.spec.max_positions
    prompt = [3 + i % 40 for i in range(room - 3)]
    options = RolloutOptions(policy=Sampling(temperature=0.0), limit=LIMIT, rows=2)
    queue = RolloutQueue(Trajectory(model, prompt, [5, 6], options), stop_ids=[])
    queue.add([Branch(position=p, draw=0) for p in range(3)])
    assert {r.branch.position: len(r.tokens) for r in queue} == {0: 3, 1: 2, 2: 1}


def test_a_trajectory_beyond_the_context_is_refused() -> None:
    model = tiny_model("gpt2")
    prompt = [3] * model.spec.max_positions
    with pytest.raises(BadOption, match="takes at most"):
        Trajectory(model, prompt, [5], RolloutOptions())
