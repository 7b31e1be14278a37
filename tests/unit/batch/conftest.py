"""Plans over a tiny model, and everything of a batch that must not change."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.batch.plan import BatchPlan
from workbench.model.model import Model
from workbench.model.tiny import tiny_model
from workbench.runs.store import Store

WORDS = ("the", "dog", "cat", "of", "and", "is", "it", "so", "one", "two")
LENS = [{"name": "logit-lens", "options": {"positions": "last"}}]
PROBES = [
    {"name": "isotropy", "options": {"reservoir": 20, "memory_mb": 1.0, "layers": [0]}},
    {"name": "linear", "options": {"at": ["resid_post.-1[-1]"]}},
    *LENS,
]

MakePlan = Callable[..., BatchPlan]


@pytest.fixture(scope="session")
def model() -> Model:
    return tiny_model("llama")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def write_rows(path: Path, n: int, *, seed: int = 0) -> Path:
    draw = np.random.default_rng(seed)
    with path.open("w") as stream:
        for i in range(n):
            text = " ".join(draw.choice(WORDS, size=draw.integers(2, 20)))
            stream.write(json.dumps({"text": text, "kind": "odd" if i % 2 else "even"}) + "\n")
    return path


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "rows.jsonl", 40)


@pytest.fixture
def make_plan(rows: Path) -> MakePlan:
    def make(**changes: Any) -> BatchPlan:
        return BatchPlan.from_dict(plan_values(rows, **changes))

    return make


def plan_values(rows: Path, **changes: Any) -> dict[str, Any]:
    """Return a plan as its file holds it."""
    return {
        "name": "nightly",
        "shard_rows": 8,
        "batch_tokens": 64,
        "resamples": 20,
        "model": {"name": "tiny:llama"},
        "data": {"path": str(rows), "label": "kind"},
        "probes": LENS,
        "keep": {"sites": ["resid_post.0[-1]", "resid_post.1"], "dtype": "float32"},
        **changes,
    }


def everything(store: Store, plan: BatchPlan) -> dict[str, bytes]:
    """Return every byte that a batch leaves behind, but for the times in `run.json`."""
    folder = store.folder / "batches" / plan.name
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"]
    found = {str(p.relative_to(folder)): p.read_bytes() for p in files}
    for spec in plan.pinned().specs:
        run = store.get(spec.run_id)
        assert run.result is not None
        estimates = [vars(e) for e in run.result.estimates]
        found[f"{spec.run_id} estimates"] = json.dumps(estimates, default=str).encode()
        path = store.path(spec.run_id)
        tables = [p for p in path.rglob("*") if p.is_file() and not p.name.startswith("run.")]
        found |= {f"{spec.run_id} {p.name}": p.read_bytes() for p in tables}
    return found
