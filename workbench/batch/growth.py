"""How time and memory of a batch grow with rows and with layers, each size in its own process."""

import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.batch.host_bench import bench_texts
from workbench.batch.pace import peak_memory_mb
from workbench.batch.plan import BatchPlan
from workbench.batch.run import run_batch
from workbench.errors import EnvironmentProblem, TooLittleData
from workbench.progress import Progress, silent
from workbench.runs.bench.cheap_model import cheap_model
from workbench.runs.bench.hooks import Bar
from workbench.runs.bench.memory import said_apart
from workbench.runs.store import Store

ROWS, LAYERS = (500, 2000, 8000), (6, 30, 60)

# Beyond these exponents of a power law, time is not linear and memory is not flat.
_TIME, _MEMORY = 1.1, 0.1


def bench_growth(
    plan: BatchPlan,
    *,
    rows: Sequence[int] = ROWS,
    layers: Sequence[int] = LAYERS,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Carry a plan's probes out on a model that costs next to nothing, at several sizes.

    `rows` grow at the middle number of layers, `layers` at the smallest number of rows. The rows
    are the shipped prompts, as often as it takes. A slope is that of log seconds, or log MB, over
    the log of the size: 1 is linear, 0 is flat. Seconds are processor time of the whole batch,
    results included, without imports and the model; memory is that of the process.

    Raises:
        TooLittleData: fewer than two sizes.
        EnvironmentProblem: a batch failed.
    """
    if min(len(set(rows)), len(set(layers))) < 2:
        raise TooLittleData(f"rows {[*rows]}, layers {[*layers]}; expected at least two of each")
    middle = sorted(layers)[len(layers) // 2]
    sizes = [(n, middle) for n in rows] + [(min(rows), n) for n in layers if n != middle]
    found: list[dict[str, int | float]] = []
    for n_rows, n_layers in sizes:
        progress(len(found), len(sizes), "sizes")
        found.append(_measured(plan, n_rows, n_layers))
    by_rows = [one for one in found if one["layers"] == middle]
    by_layers = [one for one in found if one["rows"] == min(rows)]
    slopes = {
        "seconds over rows": slope(by_rows, "rows", "cpu_seconds"),
        "MB over rows": slope(by_rows, "rows", "peak_mb"),
        "seconds over layers": slope(by_layers, "layers", "cpu_seconds"),
        "MB over layers": slope(by_layers, "layers", "peak_mb"),
    }
    bars = [
        Bar(claim=f"slope of {name}", value=slopes[name], limit=limit)
        for name, limit in (
            ("seconds over rows", _TIME),
            ("MB over rows", _MEMORY),
            ("seconds over layers", _TIME),
        )
    ]
    return {
        "probes": [spec.name for spec in plan.specs],
        "growth": found,
        "slopes": slopes,
        "bars": [{**vars(bar), "passed": bar.passed} for bar in bars],
    }


def slope(found: Sequence[Mapping[str, int | float]], size: str, quantity: str) -> float:
    """Return the least-squares slope of a quantity over a size, both in logarithms."""
    x = [math.log(one[size]) for one in found]
    y = [math.log(one[quantity]) for one in found]
    middle, level = sum(x) / len(x), sum(y) / len(y)
    products = ((a - middle) * (b - level) for a, b in zip(x, y, strict=True))
    return sum(products) / sum((a - middle) ** 2 for a in x)


def _measured(plan: BatchPlan, rows: int, layers: int) -> dict[str, int | float]:
    given = {"plan": plan.as_dict(), "rows": rows, "layers": layers}
    what = f"{rows} rows at {layers} layers"
    said = said_apart("workbench.batch.growth", given, what=what, hint="try smaller sizes")
    return {"rows": rows, "layers": layers, **json.loads(said)}


def measure(plan: dict[str, Any], rows: int, layers: int) -> dict[str, int | float]:
    """Carry the plan out in a store that is thrown away; return its seconds and megabytes."""
    texts = bench_texts(rows)
    model = cheap_model([row.text for row in texts[:100]], layers=layers)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        lines = ({"text": r.text, "label": r.label, "group": r.group} for r in texts)
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        whole = BatchPlan.from_dict(
            {
                "name": "growth",
                "model": {"name": "tiny:llama"},  # the model that is given takes its place
                "data": {"path": str(path), "label": "label", "group": "group"},
                "probes": [{"name": s["name"], "options": s["options"]} for s in plan["specs"]],
                "shard_rows": plan["shard_rows"],
                "batch_tokens": plan["specs"][0]["batch_tokens"],
                "resamples": plan["specs"][0]["resamples"],
            }
        )
        started = time.process_time()
        done = run_batch(whole, store=Store(Path(folder) / "store"), model=model)
        seconds = time.process_time() - started
    for run in done.runs:
        if run.failure is not None:
            raise EnvironmentProblem(f"{run.run_id}: {run.failure.message}")
    return {"cpu_seconds": round(seconds, 3), "peak_mb": round(peak_memory_mb(), 1)}


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(measure(**json.loads(sys.argv[1])))}\n")
