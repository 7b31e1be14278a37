"""How one reasoner answers the problems of a benchmark, problem by problem."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.methods.contracts import Context, Prompt
from workbench.model.model import Model
from workbench.result.chain import Chain
from workbench.runs.bench.reasoner_plan import BenchTask, ReasonerPreset
from workbench.sampling.evaluation import judge
from workbench.sampling.prompting import prompt_ids, stop_ids
from workbench.sampling.task import Problem, Task, open_task
from workbench.training.splits import part_address

TRAINED = "as trained"
_BATCH = 64
# Every seed and every arm answers the same problems.
_DRAWN = Context(seed=7)


def judged_rows(task: BenchTask, sizes: ReasonerPreset) -> dict[str, list[Problem]]:
    """Return the problems of every row: those like the training's, then the others."""
    asked = {TRAINED: (task.address, sizes.judged)}
    asked |= {name: (address, sizes.further) for name, address in task.further.items()}
    found = {}
    for name, (address, limit) in asked.items():
        where = part_address(address, "test")
        found[name] = list(open_task(where).problems(limit, _DRAWN.stream(f"judged {name}")))
    return found


def answers(
    reasoner: Any, model: Model, task: Task, problems: Sequence[Problem], context: Context
) -> dict[str, list[Any]]:
    """Return verdict, depth, group, operations and positions of every problem, and the seconds.

    `operations` count the vocabulary head where a token is drawn, `operations_every` also at every
    position of the prompt. `positions` are those run after the prompt, `seconds` processor
    seconds of the whole batch shared out.
    """
    found: dict[str, list[Any]] = {}
    for at in range(0, len(problems), _BATCH):
        some = problems[at : at + _BATCH]
        prompts = [
            Prompt(
                question=p.question, ids=prompt_ids(model, task, p), stop_ids=stop_ids(model, task)
            )
            for p in some
        ]
        began = time.process_time()
        seeds = range(at, at + len(some))
        chains = reasoner.solve(model, prompts, seeds=seeds, context=context)
        spent = (time.process_time() - began) / len(some)
        for problem, chain in zip(some, chains, strict=True):
            for name, value in _told(task, problem, chain, spent).items():
                found.setdefault(name, []).append(value)
    return found


def changed(own: Mapping[str, Any], other: Mapping[str, Any]) -> list[int]:
    """Return 1 for every problem whose written answer is another one."""
    return [int(a != b) for a, b in zip(own["response"], other["response"], strict=True)]


def _told(task: Task, problem: Problem, chain: Chain, seconds: float) -> Mapping[str, Any]:
    verdict = judge(task, problem, chain.response, is_cut=not chain.is_finished)
    after = [cost.n_tokens for stage, cost in chain.costs.items() if stage != "prefill"]
    return {
        "right": int(verdict.is_correct),
        "depth": len(problem.steps),
        "group": str(problem.fields.get("group") or problem.id),
        "operations": chain.cost.last_position,
        "operations_every": chain.cost.every_position,
        "positions": sum(after),
        "seconds": round(seconds, 6),
        "response": chain.response,
    }
