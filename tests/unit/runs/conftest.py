"""Runs that can be stored without running anything."""

from collections.abc import Callable

import numpy as np
import pytest

from workbench.result.estimate import Estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Curve
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, RunSpec

MakeRun = Callable[..., Run]


@pytest.fixture
def result() -> Result:
    """A result with one of everything that a store keeps."""
    columns = {"mean": Column(unit="nats", help="A mean.", low="low", high="high")}
    rows = [{"layer": i, "mean": i / 7, "low": 0.0, "high": 1.0, "token": " é\n"} for i in range(3)]
    return Result(
        summary="It is 0.5 [0.4, 0.6].",
        estimates=(
            Estimate(name="mean", value=0.5, unit="nats", n=3, low=0.4, high=0.6),
            Estimate(name="undefined", value=None, unit="", n=0, note="nothing to count"),
        ),
        tables={"layers": Table.from_rows(rows, columns), "empty": Table.from_rows([])},
        arrays={"x": np.arange(6, dtype=np.float32).reshape(2, 3).T},
        notes=(Note("few texts", "warning", "few"),),
        views=(Curve(title="Means", table="layers", x="layer", y=("mean",)),),
    )


@pytest.fixture
def run(result: Result) -> Run:
    """A complete run."""
    return _make(result)


@pytest.fixture
def make_run() -> MakeRun:
    """A function that joins a result with a spec of some name and seed."""
    return _make


def _make(result: Result | None, name: str = "sample", seed: int = 0) -> Run:
    return Run(
        spec=RunSpec(name=name, data=DataRef(texts=("a",)), seed=seed),
        status="complete" if result else "failed",
        result=result,
        provenance={"started": f"2026-01-0{seed + 1}T00:00:00+00:00", "seconds": 1.5},
    )
