"""Asking a graph again from its stored result, without fitting."""

import numpy as np

from causal.hca.gauge import Gauge
from causal.scm.intervention import CapabilityModel
from causal.scores.rows import DomainRows
from workbench.errors import BadOption
from workbench.result.result import Result

NEEDED = ("h", "b", "offset", "rows", "counts")


def model_of(result: Result, *, scale: tuple[float, float] | None = None) -> CapabilityModel:
    """Rebuild the structural model of a hierarchical result, with its resamples.

    Raises:
        BadOption: the result is not that of a hierarchical fit.
    """
    graph = result.graph
    missing = [name for name in NEEDED if name not in result.arrays]
    if graph is None or graph.method != "hierarchical" or missing:
        raise BadOption(
            "the result does not come from the hierarchical discovery",
            hint="only its graphs can be asked; run `hierarchical` first",
        )
    arrays = {name: np.asarray(array, dtype=np.float64) for name, array in result.arrays.items()}
    cuts = np.cumsum(result.arrays["counts"])[:-1]
    rows = DomainRows(
        names=tuple(map(str, graph.facts["domains"])),
        benchmarks=tuple(map(str, graph.facts["benchmarks"])),
        blocks=tuple(np.split(arrays["rows"], cuts)),
    )
    nodes = {node.name: node for node in graph.nodes}
    draws = ("draws_h", "draws_b", "draws_offset")
    kept = zip(*(arrays[name] for name in draws), strict=True) if draws[0] in arrays else ()
    return CapabilityModel(
        rows=rows,
        gauge=Gauge(h=arrays["h"], b=arrays["b"], offset=arrays["offset"]),
        names=graph.order,
        anchors=tuple(nodes[name].anchor for name in graph.order),
        draws=tuple(Gauge(h=h, b=b, offset=offset) for h, b, offset in kept),
        scale=scale,
    )


def domain_models(result: Result, domain: str) -> tuple[str, ...]:
    """Return the names of a domain's models, in the order of its rows.

    Raises:
        BadOption: the result holds no table of models, or none of that domain.
    """
    table = result.tables.get("models")
    if table is None:
        raise BadOption("the result holds no table of models")
    names = table.frame.loc[table.frame["domain"] == domain, "model"]
    if names.empty:
        raise BadOption(f"the result holds no models of {domain!r}")
    return tuple(map(str, names))
