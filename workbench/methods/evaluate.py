"""Readout probes made into measures: held-out scores with their controls, at every site.

A readout probe only learns. Everything that makes its score believable is added here, once:
grouped and stratified folds, scores on examples the readout never saw, the majority class,
shuffled labels, random vectors, intervals over groups and the correction for many sites.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from workbench.errors import BadSite, NotFinite
from workbench.methods.contracts import Context, Example, ReadoutProbe
from workbench.methods.evaluation import Evaluation, evaluate
from workbench.methods.labels import Labelled
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.result.result import Result

# How many passes an accelerator may be ahead of the copy of their vectors.
_AHEAD = 32


class ReadoutAccumulator:
    """One vector per text and site, with labels and groups: what a readout is fitted on.

    A site without positions, or with several, gives the mean over them. The vectors of a merged
    state are read one site at a time, when the result is asked for.
    """

    def __init__(
        self, probe: ReadoutProbe, context: Context, evaluation: Evaluation | None = None
    ) -> None:
        """Begin collecting for a probe."""
        self.probe = probe
        self.context = context
        self.evaluation = evaluation or Evaluation()
        self._parts: list[Mapping[str, NDArray[Any]]] = []
        self._waiting: list[tuple[Tensor, tuple[Example, ...]]] = []
        self._widths: Mapping[Site, int] = {}

    def add(self, trace: Trace, examples: Sequence[Example]) -> None:
        """Keep one vector per text.

        Raises:
            BadSite: the probe asks for attention patterns, which are not vectors.
            NotFinite: a vector holds NaN or infinity.
        """
        sites = dict.fromkeys(site.resolve(trace.spec) for site in self.probe.sites(trace.spec))
        vectors = [one_vector_per_text(trace, site) for site in sites]
        if not vectors:
            self._parts.append({"rows": _written(map(Labelled.of, examples))})
            return
        together = torch.cat([x.to(vectors[0].device) for x in vectors], dim=1)
        self._waiting.append((together, tuple(examples)))
        self._widths = {site: x.shape[1] for site, x in zip(sites, vectors, strict=True)}
        if together.device.type == "cpu" or len(self._waiting) >= _AHEAD:
            self._fetch()

    def _fetch(self) -> None:
        """Copy the vectors that wait on the device, all in one."""
        widths = self._widths
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        examples = [example for _, some in waiting for example in some]
        found = torch.cat([x for x, _ in waiting]).cpu().split(list(widths.values()), dim=1)
        vectors = {}
        for site, x in zip(widths, found, strict=True):
            vectors[f"x/{site}"] = np.ascontiguousarray(x.numpy())
            bad = np.flatnonzero(~np.isfinite(vectors[f"x/{site}"]).all(axis=1))
            if len(bad):
                named = ", ".join(examples[i].source or f"row {i + 1}" for i in bad[:5])
                raise NotFinite(f"{site} holds NaN or infinity for {len(bad)} texts ({named})")
        self._parts.append({"rows": _written(map(Labelled.of, examples)), **vectors})

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the vectors by site and the labels as bytes of JSON."""
        self._fetch()
        vectors = self._vectors(self.context.spec)
        return {"rows": _written(self._rows()), **{f"x/{site}": x for site, x in vectors.items()}}

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Add the texts that came after."""
        self._fetch()
        self._parts.append(state)

    def result(self, context: Context) -> Result:
        """Fit, score and compare with the controls.

        Raises:
            BadRows: the labels or groups do not allow an evaluation; all problems at once.
        """
        self._fetch()
        vectors = self._vectors(context.spec)
        return evaluate(self.probe, vectors, self._rows(), context, self.evaluation)

    def _vectors(self, spec: ModelSpec | None) -> "_Vectors":
        # A file does not keep the order of its arrays, and the order of the table is the probe's.
        if spec is not None:
            sites = [site.resolve(spec) for site in self.probe.sites(spec)]
        else:
            names = (name for name in (self._parts or [{}])[0] if name != "rows")
            sites = [Site.parse(name.removeprefix("x/")) for name in names]
        return _Vectors(self._parts, list(dict.fromkeys(sites)) if self._parts else ())

    def _rows(self) -> list[Labelled]:
        return [
            Labelled(**row) for part in self._parts for row in json.loads(part["rows"].tobytes())
        ]


class _Vectors(Mapping[Site, NDArray[np.float32]]):
    """The vectors by site, joined over the parts when asked for."""

    def __init__(self, parts: Sequence[Mapping[str, NDArray[Any]]], sites: Sequence[Site]) -> None:
        self._parts, self._sites = parts, tuple(sites)

    def __getitem__(self, site: Site) -> NDArray[np.float32]:
        return np.concatenate([part[f"x/{site}"] for part in self._parts])

    def __iter__(self) -> Iterator[Site]:
        return iter(self._sites)

    def __len__(self) -> int:
        return len(self._sites)


def _written(rows: Iterable[Labelled]) -> NDArray[np.uint8]:
    text = json.dumps([vars(row) for row in rows])
    return np.frombuffer(text.encode(), dtype=np.uint8).copy()


@dataclass(frozen=True, kw_only=True)
class ReadoutMeasure:
    """A readout probe as a measure."""

    probe: ReadoutProbe
    evaluation: Evaluation = field(default_factory=Evaluation)

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        """The activations the probe asks for."""
        return self.probe.sites(spec)

    def start(self, context: Context) -> ReadoutAccumulator:
        """Begin collecting vectors."""
        return ReadoutAccumulator(self.probe, context, self.evaluation)


def one_vector_per_text(trace: Trace, site: Site) -> Float[Tensor, "batch d_model"]:
    """Return a site as one fp32 vector per text: the mean over its positions, heads joined.

    Raises:
        BadSite: the site is an attention pattern.
    """
    if site.kind is Kind.ATTN_PATTERN:
        raise BadSite(f"{site} is not a vector", hint="read z or attn_out instead")
    x = trace[site].float()
    if site.positions is None:
        count = trace.tokens.mask.sum(dim=1).to(x.device)
        mean = x.sum(dim=1) / count.reshape(-1, *[1] * (x.dim() - 2))
    else:
        mean = x.mean(dim=1)
    return mean.flatten(1)


__all__ = [
    "Evaluation",
    "ReadoutAccumulator",
    "ReadoutMeasure",
    "evaluate",
    "one_vector_per_text",
]
