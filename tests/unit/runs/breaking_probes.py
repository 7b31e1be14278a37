"""Probes that break, or stop, where they are told to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import (
    FitError,
)
from workbench.methods.contracts import Context, Example, Stopped
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.result import Result
from workbench.result.tables import Table


@dataclass(frozen=True, kw_only=True)
class Counting:
    """Count texts and add up squared norms; breaks where it is told to."""

    layer: int = option(-1, help="Layer to read.")
    breaks: str = option("", help="Where to break: add, result or nothing.")
    after: int = option(0, help="How many texts to count before breaking.")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return (Site(Kind.RESID_POST, self.layer).resolve(spec),)

    def start(self, context: Context) -> "CountingAccumulator":
        return CountingAccumulator(self)


class CountingAccumulator:
    """The running sums."""

    def __init__(self, recipe: Counting) -> None:
        self.recipe = recipe
        self.n = 0
        self.total = 0.0

    def add(self, trace: Trace, examples: Sequence[Example]) -> None:
        if self.recipe.breaks in ERRORS and self.n >= self.recipe.after:
            raise ERRORS[self.recipe.breaks]
        self.n += len(examples)
        self.total += sum(float(trace.flat(s).square().sum()) for s in trace.activations)

    def state(self) -> dict[str, NDArray[Any]]:
        return {"n": np.array(self.n)}

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.n += int(state["n"])

    def result(self, context: Context) -> Result:
        table = Table.from_rows([{"n": self.n, "total": self.total}])
        return Result(summary=f"{self.n} texts", tables={"counts": table})


@dataclass(frozen=True, kw_only=True)
class Stopping:
    """Stop as a user would, with part of the work done."""

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        assert context.scratch is not None
        context.scratch.mkdir(parents=True)
        (context.scratch / "kept.txt").write_text("half")
        raise Stopped(Result(summary="half"))


ERRORS: dict[str, BaseException] = {
    "known": FitError("did not converge", hint="more data"),
    "unknown": RuntimeError("a bug"),
    "stop": KeyboardInterrupt(),
}
