"""What a model writes in answer to problems, each once and greedily."""

from collections.abc import Sequence

import numpy as np

from workbench.methods.contracts import Context, Prompt
from workbench.methods.registry import find
from workbench.model.model import Model
from workbench.result.chain import Chain
from workbench.sampling.prompting import prompt_ids, stop_ids
from workbench.sampling.task import Problem, Task

_ROWS = 16


def greedy_responses(
    model: Model, task: Task, asked: Sequence[Problem], *, most: int, context: Context
) -> list[Chain | None]:
    """Return the response to each problem, of `most` tokens; None where it is too long to ask."""
    stops = stop_ids(model, task)
    prompts = [
        Prompt(question=p.question, ids=prompt_ids(model, task, p), stop_ids=stops) for p in asked
    ]
    sizes, room = [len(p.ids) for p in prompts], model.spec.max_positions - most
    fit = [int(i) for i in np.argsort(sizes, kind="stable") if sizes[i] <= room]
    writer = find("reasoner", "cot").recipe(tokens=most)
    found: list[Chain | None] = [None] * len(asked)
    for at in range(0, len(fit), _ROWS):
        rows = fit[at : at + _ROWS]
        some = [prompts[i] for i in rows]
        chains = writer.solve(model, some, seeds=[0] * len(rows), context=context)
        for i, chain in zip(rows, chains, strict=True):
            found[i] = chain
        context.progress(at + len(rows), len(fit), "problems answered")
    return found
