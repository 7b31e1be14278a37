"""Everything that probes measure at (layer, position) of one text, each activation read once."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from workbench.errors import InputError, UnknownName, WorkbenchError
from workbench.figures.grid_plot import draw_map, draw_strip, map_words
from workbench.methods.contracts import Context, Example
from workbench.methods.per_unit import PerUnit
from workbench.methods.registry import Plugin, plugins
from workbench.model.model import Model
from workbench.model.sites import Site
from workbench.model.trace import Trace
from workbench.options import build
from workbench.progress import Progress, silent
from workbench.result.grid import Grid, grids_of
from workbench.runs.batching import plan
from workbench.runs.counting import start
from workbench.runs.models import shared_model
from workbench.runs.shared_pass import SharedPass
from workbench.runs.spec import DataRef, ModelRef, RunSpec

LONGEST = 256
QUICK = 4
"""Passes that a quick probe may take over a text, beside the one that all share."""
_SHOWN_FIRST = {"strips": "token-trace surprisal", "maps": "logit-lens kl"}


@dataclass(frozen=True, kw_only=True, eq=False)
class TextGrid:
    """One text's grid with every metric named `PROBE METRIC`, and why a probe gave none.

    In a notebook it draws its token strip and its map of layers and tokens.
    """

    grid: Grid
    model: str
    problems: tuple[str, ...] = ()
    n_cut: int = 0

    @property
    def strip_name(self) -> str:
        """The strip that is drawn where none is named."""
        return _first(tuple(self.grid.strips), _SHOWN_FIRST["strips"])

    @property
    def map_name(self) -> str:
        """The map that is drawn where none is named; empty where no probe has layers."""
        return _first(tuple(self.grid.maps), _SHOWN_FIRST["maps"])

    def draw_strip(self, metric: str = "") -> Any:
        """Return the token strip of a metric as a plotly figure."""
        return draw_strip(self.grid, metric or self.strip_name)

    def draw_map(self, metric: str = "", words: str = "") -> Any:
        """Return the layer × token map of a metric as a plotly figure; `words` fill its cells."""
        metric = metric or self.map_name
        return draw_map(self.grid, metric, words or map_words(self.grid, metric))

    def _repr_html_(self) -> str:
        figures = [self.draw_strip()] + ([self.draw_map()] if self.grid.maps else [])
        parts = [figure.to_html(full_html=False, include_plotlyjs="cdn") for figure in figures]
        return "".join(parts)


def grid(
    text: str,
    *,
    model: Model | ModelRef | str = "default",
    probes: Sequence[str] = (),
    seed: int = 0,
    longest: int = LONGEST,
    progress: Progress = silent,
) -> TextGrid:
    """Measure one text with every probe that has a grid (or those named), at every token.

    A probe that this model does not offer is left out and named in `problems`.

    Raises:
        UnknownName: a probe does not exist or has no grid.
        TooLittleData: the text holds no token.
        InputError: no probe gave anything.
        WorkbenchError: the model cannot be loaded or run.
    """
    wanted = _wanted(probes)
    ready = model if isinstance(model, Model) else shared_model(_ref(model), progress)
    example = Example(text=text, source="text 0")
    work = plan(ready, [example], max_tokens=longest, batch_tokens=longest)
    tokens = next(iter(work.batches())).tokens.to(ready.device)
    context = Context.of(ready, seed=seed)
    parts: dict[str, Grid] = {}
    problems = []
    trace = Trace(spec=ready.spec, tokens=tokens)
    for i, plugin in enumerate(wanted):
        progress(i, len(wanted), "probes")
        probe: PerUnit = build(plugin.recipe, every_token(plugin))
        try:
            trace = _read(ready, probe, trace)
            parts[plugin.name] = _measured(probe, trace, example, context)
        except WorkbenchError as error:
            problems.append(f"{plugin.name}: {error.message}")
    progress(len(wanted), len(wanted), "probes")
    if not parts:
        raise InputError("; ".join(problems), hint="name other probes, or another model")
    return TextGrid(
        grid=joined_grid(parts), model=ready.spec.name, problems=tuple(problems), n_cut=work.n_cut
    )


def joined_grid(parts: Mapping[str, Grid]) -> Grid:
    """Return one grid of what several probes measured, every metric named `PROBE METRIC`.

    Raises:
        UnknownName: the grids are of other tokens.
    """
    named = [part.named(f"{name} ") for name, part in parts.items()]
    return reduce(Grid.joined, named[1:], named[0])


@dataclass(frozen=True, kw_only=True, eq=False)
class TextRuns:
    """The runs of the probes that measure each token of a text, by the probe's name.

    `quick` are begun at once; `dear` take more than `QUICK` passes and wait to be asked for,
    `prices` in passes. A probe that is quick without a part of it stands in both.
    """

    quick: Mapping[str, RunSpec]
    dear: Mapping[str, RunSpec]
    prices: Mapping[str, int]


def text_runs(text: str, ref: ModelRef, model: Model, *, longest: int = LONGEST) -> TextRuns:
    """Return the runs of every probe that measures each token of a text, quick and dear."""
    quick, dear, prices = {}, {}, {}

    def spec(name: str, options: Mapping[str, Any]) -> RunSpec:
        data = DataRef(texts=(text,))
        return RunSpec(name=name, options=options, model=ref, data=data, max_tokens=longest)

    for plugin in grid_probes():
        whole = every_token(plugin)
        less = {**whole, **_per_unit(plugin).quick}
        if _price(plugin, less, model) <= QUICK:
            quick[plugin.name] = spec(plugin.name, less)
        prices[plugin.name] = _price(plugin, whole, model)
        if prices[plugin.name] > QUICK:
            dear[plugin.name] = spec(plugin.name, whole)
    return TextRuns(quick=quick, dear=dear, prices=prices)


def text_pass(model: Model) -> SharedPass:
    """Return the model as the quick probes share it over one text: one pass reads for all."""
    also: dict[Site, None] = {}
    for plugin in grid_probes():
        probe: PerUnit = build(plugin.recipe, {**every_token(plugin), **_per_unit(plugin).quick})
        if probe.price(model.spec) <= QUICK:
            with suppress(WorkbenchError):
                also |= dict.fromkeys(model.sites(probe.sites(model.spec)))
    return SharedPass(model, tuple(also))


def _price(plugin: Plugin, options: Mapping[str, Any], model: Model) -> int:
    probe: PerUnit = build(plugin.recipe, options)
    return probe.price(model.spec)


def _per_unit(plugin: Plugin) -> type[PerUnit]:
    recipe: type[PerUnit] = plugin.recipe
    return recipe


def not_offered(model: Model) -> dict[str, str]:
    """Return the probes whose weights are not there for a model, each with the reason."""
    found: dict[str, str] = {}
    for plugin in grid_probes():
        probe: PerUnit = build(plugin.recipe, every_token(plugin))
        try:
            probe.loaded(Context.of(model))
        except WorkbenchError as error:
            found[plugin.name] = error.message
    return found


def grid_probes() -> tuple[Plugin, ...]:
    """Return the probes that measure every token of a text."""
    return tuple(p for p in plugins("probe") if _measures_tokens(p.recipe))


def _measures_tokens(recipe: type) -> bool:
    return issubclass(recipe, PerUnit) and any(
        "position" in metric.axes for metric in recipe.metrics.values()
    )


def every_token(plugin: Plugin) -> dict[str, Any]:
    """Return the options under which a probe measures every token of a text."""
    return dict(_per_unit(plugin).every_token)


def _wanted(names: Sequence[str]) -> tuple[Plugin, ...]:
    known = {plugin.name: plugin for plugin in grid_probes()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownName(
            f"{', '.join(unknown)} measures no single tokens; these probes do: {', '.join(known)}"
        )
    return tuple(known[name] for name in names or known)


def _ref(model: ModelRef | str) -> ModelRef:
    return model if isinstance(model, ModelRef) else ModelRef(name=model)


def _read(model: Model, probe: PerUnit, trace: Trace) -> Trace:
    """Return the trace with the probe's sites, running the model only for what is missing."""
    missing = [s for s in model.sites(probe.sites(model.spec)) if s not in trace.activations]
    if not missing:
        return trace
    more = model.run(trace.tokens, read=missing)
    return replace(trace, activations={**trace.activations, **more.activations})


def _measured(probe: PerUnit, trace: Trace, example: Example, context: Context) -> Grid:
    sites = {site.resolve(trace.spec) for site in probe.sites(trace.spec)}
    own = {site: x for site, x in trace.activations.items() if site in sites}
    accumulator = start(probe, context)
    accumulator.add(replace(trace, activations=own), [example])
    return grids_of(accumulator.result(context))[0]


def _first(names: Sequence[str], wanted: str) -> str:
    return wanted if wanted in names else next(iter(names), "")
