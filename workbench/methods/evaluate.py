"""Readout probes made into measures: held-out scores with their controls, at every site.

A readout probe only learns. Everything that makes its score believable is added here, once:
grouped and stratified folds, scores on examples the readout never saw, the majority class,
shuffled labels, random vectors, intervals over groups and the correction for many sites.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from workbench.errors import BadSite, NotFinite
from workbench.methods.contracts import Context, Example, ReadoutProbe
from workbench.methods.judging import Evaluation, evaluate
from workbench.methods.labels import Labelled
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.result.result import Result


class ReadoutTally:
    """One vector per text and site, with labels and groups: what a readout is fitted on.

    A site without positions, or with several, gives the mean over them.
    """

    def __init__(
        self, probe: ReadoutProbe, context: Context, evaluation: Evaluation | None = None
    ) -> None:
        """Begin collecting for a probe."""
        self.probe = probe
        self.context = context
        self.evaluation = evaluation or Evaluation()
        self._vectors: dict[Site, list[NDArray[np.float32]]] = {}
        self._rows: list[Labelled] = []

    def add(self, trace: Trace, examples: Sequence[Example]) -> None:
        """Keep one vector per text.

        Raises:
            BadSite: the probe asks for attention patterns, which are not vectors.
            NotFinite: a vector holds NaN or infinity.
        """
        for site in self.probe.sites(trace.spec):
            x = one_vector_per_text(trace, site.resolve(trace.spec)).cpu().numpy()
            bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
            if len(bad):
                named = ", ".join(examples[i].source or f"row {i + 1}" for i in bad[:5])
                raise NotFinite(f"{site} holds NaN or infinity for {len(bad)} texts ({named})")
            self._vectors.setdefault(site.resolve(trace.spec), []).append(x)
        self._rows += [Labelled.of(example) for example in examples]

    def merge(self, other: "ReadoutTally") -> None:
        """Add the texts that came after."""
        for site, parts in other._vectors.items():
            self._vectors.setdefault(site, []).extend(parts)
        self._rows += other._rows

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the vectors by site and the labels as bytes of JSON."""
        text = json.dumps([asdict(row) for row in self._rows])
        vectors = {f"x/{site}": np.concatenate(parts) for site, parts in self._vectors.items()}
        return {"rows": np.frombuffer(text.encode(), dtype=np.uint8).copy(), **vectors}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state that `arrays` returned."""
        self._rows = [Labelled(**row) for row in json.loads(arrays["rows"].tobytes())]
        self._vectors = {
            Site.parse(name.removeprefix("x/")): [x] for name, x in arrays.items() if name != "rows"
        }

    def result(self, context: Context) -> Result:
        """Fit, score and compare with the controls.

        Raises:
            BadRows: the labels or groups do not allow an evaluation; all problems at once.
        """
        vectors = {site: np.concatenate(parts) for site, parts in self._vectors.items()}
        return evaluate(self.probe, vectors, self._rows, context, self.evaluation)


@dataclass(frozen=True, kw_only=True)
class ReadoutMeasure:
    """A readout probe as a measure."""

    probe: ReadoutProbe
    evaluation: Evaluation = field(default_factory=Evaluation)

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        """The activations the probe asks for."""
        return self.probe.sites(spec)

    def start(self, context: Context) -> ReadoutTally:
        """Begin collecting vectors."""
        return ReadoutTally(self.probe, context, self.evaluation)


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
    "ReadoutMeasure",
    "ReadoutTally",
    "evaluate",
    "one_vector_per_text",
]
