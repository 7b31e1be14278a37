"""What a per-unit probe has measured so far: the numbers of every text, and the shown ones."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import PluginError
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import text_key
from workbench.methods.host import Named, check_infinite, numbers_of
from workbench.methods.per_unit import PerUnit
from workbench.methods.per_unit_report import report
from workbench.methods.shown import ShownText, shown_text
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import pad
from workbench.model.trace import Trace
from workbench.result.metric import HEAD, LAYER, Axis, Metric
from workbench.result.result import Result
from workbench.result.samples import Cells, Samples, mean_of_defined

_HEX = 15  # digits of a hash that fit a signed integer of 64 bits


class PerUnitAccumulator:
    """The numbers of every text so far, by kind and metric."""

    def __init__(self, probe: PerUnit, context: Context) -> None:
        """Begin with no text."""
        self.probe, self.context = probe.loaded(context), context
        self._parts: list[Samples] = []
        self._shown: dict[int, ShownText] = {}
        self._layers: tuple[tuple[int, str], ...] = ()

    def add(self, trace: Trace, examples: Sequence[Example]) -> None:
        """Measure one batch.

        Raises:
            PluginError: what was measured does not fit what was declared.
            NotFinite: a metric is infinite.
        """
        limit = self.probe.text_limit
        trace = trace if limit is None else trace.cut(limit)
        found = self.probe.measure(trace, examples, self.context)
        named = numbers_of(found, self.probe.metrics, trace.tokens.mask)
        check_infinite(named, examples)
        self._layers = self._layers or layers_of(self.probe.sites(trace.spec), trace.spec)
        self._check_layers(named)
        self._keep_shown(trace, examples, named, found)
        self._keep(self._samples(trace, examples, named))

    def _samples(self, trace: Trace, examples: Sequence[Example], named: Named) -> Samples:
        tokens = trace.tokens.to("cpu")
        keys = [int(text_key(tokens.row(i))[:_HEX], 16) for i in range(len(examples))]
        groups = [
            int(text_key([*e.group.encode()])[:_HEX], 16) if e.group else key
            for e, key in zip(examples, keys, strict=True)
        ]
        values: dict[str, dict[str, NDArray[np.float64]]] = {}
        for (kind, name), x in named.items():
            metric = self.probe.metrics[name]
            if metric.is_averaged:
                values.setdefault(kind, {})[name] = _over_positions(x, metric, tokens.mask.numpy())
        return replace(
            Samples.of(
                values,
                self.probe.metrics,
                keys=np.array(keys, np.int64),
                groups=np.array(groups, np.int64),
                controls_of=self.probe.controls_of,
            ),
            axes_of=self._axes(),
            sites=[site for _, site in self._layers],
        )

    def _keep_shown(
        self, trace: Trace, examples: Sequence[Example], named: Named, found: Any
    ) -> None:
        decode = self.context.decode or (lambda ids: str(ids[0]))
        words = {name: x.cpu().numpy() for name, x in found.words.items()}
        mask = trace.tokens.mask.cpu().numpy()
        for i, example in enumerate(examples):
            if not self.probe.is_shown(example) or example.number in self._shown:
                continue
            columns = np.flatnonzero(mask[i])[: self.probe.shown_tokens]
            row = {
                key: np.take(x[i], columns, axis=self.probe.metrics[key[1]].axes.index("position"))
                for key, x in named.items()
                if "position" in self.probe.metrics[key[1]].axes
            }
            said = {name: x[i][..., columns] for name, x in words.items()}
            ids = trace.tokens.row(i)[: len(columns)]
            text = shown_text(example.number, ids, row, said, (self.probe.metrics, decode))
            told = {name: x[i][..., columns] for name, x in found.texts.items()}
            arrays = found.arrays if i == found.arrays_of else {}
            self._shown[example.number] = replace(text, words={**text.words, **told}, arrays=arrays)

    def _axes(self) -> dict[str, Axis]:
        layer = replace(LAYER, labels=tuple(layer for layer, _ in self._layers))
        return {"layer": layer, "head": HEAD, **self.probe.axes_of}

    def _check_layers(self, named: Named) -> None:
        for (_, name), x in named.items():
            axes = self.probe.metrics[name].axes
            n = x.shape[1 + axes.index("layer")] if "layer" in axes else 1
            if n not in (1, len(self._layers)):
                raise PluginError(
                    f"{name} has {n} layers; the sites that are read have {len(self._layers)}"
                )

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the whole state."""
        texts = {k: x for text in self._shown.values() for k, x in text.state().items()}
        found = self._joined()
        if found is None:
            return texts
        about = {
            "blocked": found.is_blocked,
            "given": found.n_given,
            "layers": self._layers,
        }
        return {
            **texts,
            "about": np.frombuffer(json.dumps(about).encode(), np.uint8).copy(),
            "keys": found.keys,
            "groups": found.groups,
            **{f"sum/{_name(cells)}": x for cells, x in found.sums.items()},
            **{f"count/{_name(cells)}": x for cells, x in found.counts.items()},
        }

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Add the texts that came after."""
        self._shown = {**{t.number: t for t in ShownText.all_of(state)}, **self._shown}
        if "keys" not in state:
            return
        about = json.loads(state["about"].tobytes())
        self._layers = self._layers or tuple((layer, site) for layer, site in about["layers"])
        self._keep(
            Samples(
                metrics=self.probe.metrics,
                keys=state["keys"],
                groups=state["groups"],
                sums=_cells(state, "sum/"),
                counts=_cells(state, "count/"),
                is_blocked=about["blocked"],
                n_given=about["given"],
                controls_of=self.probe.controls_of,
                axes_of=self._axes(),
                sites=[site for _, site in self._layers],
            )
        )

    def result(self, context: Context) -> Result:
        """Average over texts, with intervals over texts, beside the controls.

        Raises:
            TooLittleData: no text was long enough.
        """
        texts = [self._shown[number] for number in sorted(self._shown)]
        return report(self.probe, self._joined(), texts, context)

    def _keep(self, part: Samples) -> None:
        self._parts.append(part)
        if len(self._parts) > 1 and sum(len(part.keys) for part in self._parts) > 1 << 13:
            self._joined()

    def _joined(self) -> Samples | None:
        if not self._parts:
            return None
        found = self._parts[0]
        if len(self._parts) > 1:
            found = found.joined(*self._parts[1:])
            self._parts = [found]
        return found


def measured_rows(
    probe: PerUnit, model: Model, rows: Sequence[Sequence[int]], context: Context
) -> Result:
    """Run token rows one at a time and report what a probe measures of them."""
    accumulator = PerUnitAccumulator(probe, context)
    for i, row in enumerate(rows):
        trace = model.run(pad([row]).to(model.device), read=probe.sites(model.spec))
        accumulator.add(trace, [Example(text="", number=i)])
        context.progress(i + 1, len(rows), "texts measured")
    return accumulator.result(context)


def layers_of(sites: Sequence[Site], spec: ModelSpec) -> tuple[tuple[int, str], ...]:
    """Return the label of each layer that is read, −1 for the input of the first, and a site."""
    placed = [site.resolve(spec) for site in sites if site.layer is not None]
    has_outputs = any(site.kind is Kind.RESID_POST for site in placed)
    found: dict[int, str] = {}
    for site in placed:
        is_input = has_outputs and site.kind is Kind.RESID_PRE and site.layer == 0
        layer = -1 if is_input or site.layer is None else site.layer
        found.setdefault(layer, str(site))
    return tuple(found.items())


def _over_positions(
    x: NDArray[np.float64], metric: Metric, mask: NDArray[np.bool_]
) -> NDArray[np.float64]:
    if "position" not in metric.axes:
        return x
    axis = 1 + metric.axes.index("position")
    if metric.skip_first:
        x = np.moveaxis(x.copy(), axis, 1)
        x[np.arange(len(x)), mask.argmax(axis=1)] = np.nan
        x = np.moveaxis(x, 1, axis)
    return mean_of_defined(x, axis=axis)


def _name(cells: Cells) -> str:
    kind, name, axes = cells
    return f"{kind}/{name}/{','.join(axes)}"


def _cells(arrays: Mapping[str, NDArray[Any]], start: str) -> dict[Cells, NDArray[Any]]:
    found: dict[Cells, NDArray[Any]] = {}
    for name in arrays:
        if name.startswith(start):
            kind, metric, axes = name.removeprefix(start).split("/")
            found[kind, metric, tuple(filter(None, axes.split(",")))] = arrays[name]
    return found
