"""Tables of solved problems: the problems, their steps, and what each stage cost."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.result.chain import STAGES, Cost
from workbench.result.tables import Column, Table
from workbench.runs.solved import Solved

_OPERATIONS = "Operations with the vocabulary head "

PROBLEM_COLUMNS = {
    "problem": Column(help="Name of the problem."),
    "group": Column(help="What it shares with others; intervals are clustered by it."),
    "question": Column(help="The question."),
    "reference": Column(help="The known answer."),
    "answer": Column(help="The answer read from the response."),
    "response": Column(help="The whole response."),
    "correct": Column(help="Whether the verifier accepts the answer."),
    "grader": Column(help="What read the answer."),
    "convention": Column(help="How it was marked; unfinished: a limit cut the chain off."),
    "ended": Column(help="What ended the chain: end of text, stop head, oracle or limit."),
    "n_steps": Column("steps", "Steps of the chain."),
    "tokens": Column("tokens", "Positions that went through a network."),
    "flops_last": Column("operations", _OPERATIONS + "only where a token is drawn."),
    "flops_every": Column("operations", _OPERATIONS + "at every position of the prompt too."),
    "seconds": Column("seconds", "Wall time of its batch, divided among the rows."),
}
STEP_COLUMNS = {
    "problem": Column(help="Name of the problem."),
    "step": Column(help="Step, counted from 1."),
    "kind": Column(help="token, latent or sentence."),
    "text": Column(help="The token, or the sentence decoded from the vector."),
    "logprob": Column("nats", "Mean log-probability of the decoded tokens."),
    "stop": Column("probability", "That the chain ends here."),
    "fed": Column(help="What the next step was given."),
    "changed": Column(help="The intervention made here, if any."),
    "norm": Column("", "Length of the vector."),
    "flops_last": Column("operations", "Operations of the step."),
    "vector": Column(help="Row of the array `vectors`."),
}
COST_COLUMNS = {
    "stage": Column(help="Prefill, reasoning, decoding, stopping; total."),
    "flops_last": Column("operations", "Per problem, head where a token is drawn.", "", ""),
    "flops_every": Column("operations", "Per problem, head at every position of the prompt."),
    "share": Column("proportion", "Of the total, head where a token is drawn."),
    "tokens": Column("tokens", "Per problem."),
    "seconds": Column("seconds", "Per problem; known for the total only."),
}


def problem_table(solved: Sequence[Solved]) -> Table:
    """Return one row per problem."""
    return Table.from_rows([_problem_row(one) for one in solved], PROBLEM_COLUMNS)


def _problem_row(one: Solved) -> dict[str, Any]:
    cost = one.chain.cost
    return {
        "problem": one.problem.id,
        "group": one.group,
        "question": one.problem.question,
        "reference": one.problem.answer,
        "answer": one.answer,
        "response": one.chain.response,
        "correct": one.is_correct,
        "grader": one.verdict.grader,
        "convention": one.verdict.convention,
        "ended": one.chain.ended,
        "n_steps": len(one.chain.steps),
        "tokens": cost.n_tokens,
        "flops_last": cost.last_position,
        "flops_every": cost.every_position,
        "seconds": one.seconds,
    }


def step_table(solved: Sequence[Solved], *, most_vectors: int) -> Table:
    """Return one row per step of every chain; the first `most_vectors` vectors are numbered."""
    rows: list[dict[str, Any]] = []
    at = 0
    for one in solved:
        for number, step in enumerate(one.chain.steps, start=1):
            has_vector = step.vector is not None and at < most_vectors
            rows.append(
                {
                    "problem": one.problem.id,
                    "step": number,
                    "kind": step.kind,
                    "text": step.text,
                    "logprob": step.logprob,
                    "stop": step.stop,
                    "fed": step.fed,
                    "changed": step.changed,
                    "norm": None if step.vector is None else float(np.linalg.norm(step.vector)),
                    "flops_last": step.cost.last_position,
                    "vector": at if has_vector else None,
                    **step.facts,
                }
            )
            at += has_vector
    return Table.from_rows(rows, STEP_COLUMNS)


def cost_table(solved: Sequence[Solved]) -> Table:
    """Return the mean cost of a problem by stage, under both conventions, and in total."""
    n = len(solved)
    seconds = sum(one.seconds for one in solved) / n
    total = sum((one.chain.cost for one in solved), Cost())
    by_stage = {
        stage: sum((one.chain.costs.get(stage, Cost()) for one in solved), Cost())
        for stage in STAGES
    }
    rows = [
        {
            "stage": stage,
            "flops_last": cost.last_position / n,
            "flops_every": cost.every_position / n,
            "share": cost.last_position / total.last_position if total.last_position else None,
            "tokens": cost.n_tokens / n,
            "seconds": seconds if stage == "total" else None,
        }
        for stage, cost in {**by_stage, "total": total}.items()
    ]
    return Table.from_rows(rows, COST_COLUMNS)
