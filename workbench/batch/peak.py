"""Peak memory of a whole batch, measured in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from typing import Any

from workbench.batch.pace import peak_memory_mb
from workbench.batch.plan import BatchPlan, Keep
from workbench.batch.run import run_batch
from workbench.errors import EnvironmentProblem
from workbench.runs.spec import RunSpec
from workbench.runs.store import Store


def peak_of_batch(plan: BatchPlan, limit: int) -> float:
    """Carry a plan out over the first `limit` rows and return the most memory held, in MB.

    The results of the probes are computed too. Memory is that of the process, weights included;
    its allocator gives large blocks back at once.

    Raises:
        EnvironmentProblem: the process failed.
    """
    asked = {"plan": plan.as_dict(), "limit": limit}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "workbench.batch.peak", json.dumps(asked)],
        capture_output=True,
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line[:1].strip()]
        raise EnvironmentProblem(
            f"measuring the memory of {limit} rows failed: {said[-1] if said else 'no message'}",
            hint="try fewer rows",
        )
    return float(done.stdout.strip().splitlines()[-1])


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
