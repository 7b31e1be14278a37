"""Tables of solved problems: the problems, their steps, and what each stage cost."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workbench.result.chain import STAGES, Cost
from workbench.result.metric import number, share
from workbench.result.row_samples import samples_of
from workbench.result.samples import Samples
from workbench.result.tables import Rows, columns_from
from workbench.runs.solved import Solved
from workbench.sampling.conventions import UNFINISHED

METRICS = {
    "accuracy": share("Share of problems right."),
    "unfinished": share("Share of chains that a limit cut off; without an answer, not right."),
    "steps": number("steps", "Steps of the chain."),
    "flops_last": number("operations", "With the vocabulary head only where a token is drawn."),
    "flops_every": number("operations", "With the head at every position of the prompt too."),
    "seconds": number("seconds", "Wall time of its batch, divided among the rows."),
}
COLUMNS = columns_from("""
    problem: Name of the problem.
    group: What it shares with others; intervals are clustered by it.
    question: The question.
    reference: The known answer.
    answer: The answer read from the response.
    response: The whole response.
    correct: Whether the verifier accepts the answer.
    grader: What read the answer.
    convention: How it was marked; unfinished: a limit cut the chain off.
    ended: What ended the chain: end of text, stop head, oracle or limit.
    n_steps (steps): Steps of the chain.
    tokens (tokens): Positions that went through a network.
    step: Step, counted from 1.
    kind: token, latent or sentence.
    text: The token, or the sentence decoded from the vector.
    entropy (nats): Entropy of the distribution that the step was drawn from.
    heaviest (probability): Weight of the heaviest token of a mixture.
    mean_ratio: Mean over dimensions of the share of the embedding, from 0 to 1.
    logprob (nats): Mean log-probability of the decoded tokens.
    stop (probability): That the chain ends here.
    fed: What the next step was given.
    changed: The intervention made here, if any.
    norm: Length of the vector.
    vector: Row of the array `vectors`.
    stage: Prefill, reasoning, decoding, stopping; total. Means over problems.
    share (proportion): Of the total, head where a token is drawn.
    who: The reasoner, the commonest answer, or guessing.
    accuracy (proportion; low, high): Share of problems right.
""")


def problem_rows(solved: Sequence[Solved]) -> Rows:
    """Return one row per problem."""
    return [_problem_row(one) for one in solved]


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


def samples_of_problems(rows: Sequence[Mapping[str, Any]], *, grouped: bool) -> Samples:
    """Return what each problem gave, from its row; grouped ones are drawn with their group."""
    numbers = [
        {
            "row": i,
            "group": row["group"],
            "accuracy": row["correct"],
            "unfinished": row["convention"] == UNFINISHED,
            "steps": row["n_steps"],
            **{name: row[name] for name in ("flops_last", "flops_every", "seconds")},
        }
        for i, row in enumerate(rows)
    ]
    group = "group" if grouped else ""
    return samples_of(numbers, METRICS, by=("row",), group=group, unit="problems")


def step_rows(solved: Sequence[Solved], *, most_vectors: int) -> Rows:
    """Return one row per step of every chain; the first `most_vectors` vectors are numbered."""
    rows: Rows = []
    at = 0
    for one in solved:
        for count, step in enumerate(one.chain.steps, start=1):
            has_vector = step.vector is not None and at < most_vectors
            rows.append(
                {
                    "problem": one.problem.id,
                    "step": count,
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
    return rows


def cost_rows(solved: Sequence[Solved]) -> Rows:
    """Return the mean cost of a problem by stage, under both conventions, and in total."""
    n = len(solved)
    seconds = sum(one.seconds for one in solved) / n
    total = sum((one.chain.cost for one in solved), Cost())
    by_stage = {
        stage: sum((one.chain.costs.get(stage, Cost()) for one in solved), Cost())
        for stage in STAGES
    }
    return [
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
