"""Peak memory of a whole batch, measured in a process of its own."""

import json
import sys
import tempfile
from dataclasses import replace
from typing import Any

from workbench.batch.pace import peak_memory_mb
from workbench.batch.plan import BatchPlan, Keep
from workbench.batch.run import run_batch
from workbench.errors import EnvironmentProblem
from workbench.runs.bench.memory import measured_apart
from workbench.runs.spec import RunSpec
from workbench.runs.store import Store


def peak_of_batch(plan: BatchPlan, limit: int) -> float:
    """Carry a plan out over the first `limit` rows and return the most memory held, in MB.

    The results of the probes are computed too. Memory is that of the process, weights included;
    its allocator gives large blocks back at once.

    Raises:
        EnvironmentProblem: the process failed.
    """
    given = {"plan": plan.as_dict(), "limit": limit}
    return measured_apart(
        "workbench.batch.peak", given, what=f"the memory of {limit} rows", hint="try fewer rows"
    )


def measure(plan: dict[str, Any], limit: int) -> float:
    """Carry the plan out in a store that is thrown away."""
    specs = []
    for values in plan["specs"]:
        spec = RunSpec.from_dict(values)
        specs.append(replace(spec, data=replace(spec.data, limit=limit)))
    keep = Keep(sites=tuple(plan["keep"]["sites"]), dtype=plan["keep"]["dtype"])
    whole = BatchPlan(
        name=plan["name"], specs=tuple(specs), keep=keep, shard_rows=plan["shard_rows"]
    )
    with tempfile.TemporaryDirectory() as folder:
        done = run_batch(whole, store=Store(folder))
    for run in done.runs:
        if run.failure is not None:
            raise EnvironmentProblem(f"{run.run_id}: {run.failure.message}")
    return round(peak_memory_mb(), 1)


if __name__ == "__main__":
    sys.stdout.write(f"{measure(**json.loads(sys.argv[1]))}\n")
