"""Wrong responses with what rollouts found about them, read from a critical-token result."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from probes.contrast.sequences import Row
from workbench.errors import InputError
from workbench.model.model import Model
from workbench.result.result import Result
from workbench.runs.store import Store
from workbench.sampling.prompting import prompt_ids
from workbench.sampling.task import Problem, Task

FINDER = "critical-tokens"


@dataclass(frozen=True, kw_only=True, eq=False)
class Examined:
    """One wrong response and what rollouts say of each of its tokens.

    `success`, `low` and `high` are the success rate after a token with its interval, `drop` by
    how much the token lowers it; NaN where rollouts do not tell. `entropy` is that of the
    model's distribution of the token, in nats. `critical` is the critical position, counted
    from 1; None where there is none or no token decided. `trajectory` is its number in the
    result it comes from.
    """

    trajectory: int
    row: Row
    question: str
    answer: str
    text: str
    success: Float[np.ndarray, " pos"]
    low: Float[np.ndarray, " pos"]
    high: Float[np.ndarray, " pos"]
    drop: Float[np.ndarray, " pos"]
    entropy: Float[np.ndarray, " pos"]
    critical: int | None
    badge: str
    draws: int

    @property
    def candidates(self) -> range:
        """The positions that may be critical: all but the last token, which ends the answer."""
        return range(1, max(len(self.row.response), 2))


def examined(result: Result, model: Model, task: Task) -> list[Examined]:
    """Read every trajectory of a critical-token result.

    Raises:
        InputError: the result holds no token ids.
    """
    tokens = result.table("tokens")
    if "id" not in tokens.frame:
        raise InputError(
            "the rollouts were stored without token ids",
            hint=f"run {FINDER} again with this version",
        )
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in tokens.rows():
        rows[row["trajectory"]].append(row)
    return [
        _examined(about, rows[about["trajectory"]], model, task)
        for about in result.table("trajectories").rows()
    ]


def stored_rollouts(named: str, store: Store, model: Model) -> tuple[Result, str]:
    """Return the result and the task of a stored critical-token run.

    Raises:
        RunNotFound: there is no such run.
        InputError: it is another probe's, another model's, or holds no result.
    """
    run = store.get(named)
    if run.spec.name != FINDER or run.result is None:
        raise InputError(
            f"{run.run_id} holds no result of {FINDER}", hint=f"workbench probe run {FINDER}"
        )
    theirs = run.provenance.get("model", {}).get("weights_hash", "")
    if theirs != model.spec.weights_hash:
        raise InputError(
            f"the rollouts of {run.run_id} are another model's ({theirs[:12]}); this one is "
            f"{model.spec.name} ({model.spec.weights_hash[:12]})",
            hint="name the model they were drawn from",
        )
    return run.result, run.spec.data.task


def _examined(
    about: dict[str, Any], rows: Sequence[dict[str, Any]], model: Model, task: Task
) -> Examined:
    problem = Problem(id=about["question"], question=about["question"], answer=str(about["answer"]))
    flagged = next((row for row in rows if row["critical"]), None)
    badge = flagged["badge"] if flagged else ""
    return Examined(
        trajectory=about["trajectory"],
        row=Row(prompt=prompt_ids(model, task, problem), response=tuple(row["id"] for row in rows)),
        question=problem.question,
        answer=problem.answer,
        text=about["response"],
        success=_numbers(rows, "p"),
        low=_numbers(rows, "p_low"),
        high=_numbers(rows, "p_high"),
        drop=_numbers(rows, "effect"),
        entropy=_numbers(rows, "entropy"),
        critical=flagged["position"] if flagged and badge != "hopeless" else None,
        badge=badge,
        draws=about["draws"],
    )


def _numbers(rows: Sequence[dict[str, Any]], name: str) -> Float[np.ndarray, " pos"]:
    return np.array([np.nan if row[name] is None else row[name] for row in rows], dtype=np.float64)
