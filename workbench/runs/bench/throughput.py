"""New tokens per second of shared-prefix rollouts, against one `generate` call for each."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.sampling.branch import Branch
from workbench.sampling.rollout import RolloutOptions, RolloutQueue, Trajectory
from workbench.sampling.task import Problem, open_task

POLICY = Sampling(temperature=0.7, top_p=0.95)


def throughput(
    model: Model,
    task: str,
    trajectory: Mapping[str, Any],
    *,
    new_tokens: int = 32,
    branches: int = 32,
) -> dict[str, float]:
    """Continue the same prefixes of one trajectory both ways and compare the rates.

    Both have the same sampling settings, limit and stop ids; the plain way runs the whole text
    again for each continuation. The prefill of the shared prefix counts as time of the rollouts.
    """
    question = str(trajectory["question"])
    problem = Problem(id=question, question=question, answer=str(trajectory["answer"]))
    prompt = model.tokenize(open_task(task).prompt(problem)).row(0)
    response = model.tokenize(str(trajectory["response"])).row(0)
    places = [1 + i % max(len(response) - 1, 1) for i in range(branches)]
    ours = _shared(model, (prompt, response), places, new_tokens)
    plain = _plain(model, [[*prompt, *response[:place]] for place in places], new_tokens)
    return {
        "branches": branches,
        "rollouts_tokens_per_second": ours,
        "plain_tokens_per_second": plain,
        "ratio": ours / plain,
    }


def _shared(
    model: Model, text: tuple[Sequence[int], Sequence[int]], places: Sequence[int], limit: int
) -> float:
    options = RolloutOptions(policy=POLICY, limit=limit, rows=32)
    start = time.perf_counter()
    queue = RolloutQueue(Trajectory(model, *text, options), stop_ids=model.stop_ids)
    queue.add(Branch(position=place, draw=i) for i, place in enumerate(places))
    n_tokens = sum(len(rollout.tokens) for rollout in queue)
    return n_tokens / (time.perf_counter() - start)


def _plain(model: Model, texts: Sequence[Sequence[int]], limit: int) -> float:
    start = time.perf_counter()
    n_tokens = sum(_generate(model, ids, limit) for ids in texts)
    return n_tokens / (time.perf_counter() - start)


def _generate(model: Model, ids: Sequence[int], limit: int) -> int:
    module: Any = model.backend.module
    given = torch.tensor([list(ids)], device=model.device)
    with torch.random.fork_rng():
        out = module.generate(
            given,
            attention_mask=torch.ones_like(given),
            do_sample=True,
            temperature=POLICY.temperature,
            top_p=POLICY.top_p,
            max_new_tokens=limit,
            eos_token_id=list(model.stop_ids) or None,
            pad_token_id=model.stop_ids[0] if model.stop_ids else 0,
        )
    return int(out.shape[1] - given.shape[1])
