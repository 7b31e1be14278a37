"""What refuters and questions are about: a stored graph and the table it came from."""

from dataclasses import dataclass, replace
from typing import Any

from workbench.errors import DataError, InputError
from workbench.methods.contracts import Discovery
from workbench.methods.registry import find
from workbench.options import build
from workbench.result.result import Result
from workbench.result.tables import Table
from workbench.runs.run import Run
from workbench.runs.spec import RunSpec, file_hash
from workbench.runs.store import Store


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundGraph:
    """A discovery's result and its table, read anew."""

    run_id: str
    result: Result
    table: Table


def open_graph(store: Store | None, spec: RunSpec) -> FoundGraph:
    """Read the discovery run that a spec is about.

    Raises:
        InputError: the spec names no run, or one without a graph.
        DataError: the table's file has changed since the graph was fitted.
    """
    if store is None or not spec.graph:
        raise InputError(
            f"{spec.kind} {spec.name} is about a stored graph and none was named",
            hint="fit one with `workbench causal fit`, then give its run id",
        )
    run = store.get(spec.graph)
    if run.result is None or run.result.graph is None:
        raise InputError(f"run {run.run_id} holds no graph", hint="name a discovery run")
    data = run.spec.data
    if data.file is not None and file_hash(data.file) != data.sha256:
        raise DataError(
            f"{data.file} has changed since {run.run_id} was fitted",
            hint="fit the graph again and name the new run",
        )
    recipe: Any = build(find("discovery", run.spec.name).recipe, run.spec.options)
    if not isinstance(recipe, Discovery):
        raise InputError(f"run {run.run_id} is no discovery", hint="name a discovery run")
    return FoundGraph(run_id=run.run_id, result=_told(run), table=recipe.read(data.file))


def _told(run: Run) -> Result:
    """Return the result with a graph that says how it was fitted, whatever its method stored."""
    result, spec = run.result, run.spec
    if result is None or result.graph is None:
        raise InputError(f"run {run.run_id} holds no graph", hint="name a discovery run")
    fitted = {
        "discovery": spec.name,
        "options": dict(spec.options),
        "seed": spec.seed,
        "resamples": spec.resamples,
    }
    if fitted.keys() <= result.graph.facts.keys():
        return result
    graph = replace(result.graph, facts={**fitted, **result.graph.facts})
    return replace(result, graph=graph)
