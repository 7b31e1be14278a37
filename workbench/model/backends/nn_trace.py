"""The nnsight backend: reads and edits inside a trace."""

import sys
from typing import Any, cast

from torch import Tensor, nn

from workbench.model.backend import Wanted
from workbench.model.backends.one_pass import Pass
from workbench.model.backends.twin_backend import PlainBackend
from workbench.model.patterns import watched_patterns
from workbench.model.points import HookPoint, ModulePaths
from workbench.model.sites import Kind, Site


def _import_nnsight() -> Any:
    used_before = "nnsight" in sys.modules
    import nnsight
    from nnsight._c import unmount

    # Importing it gives every Python object an attribute `save`, and `-v` turns on its debugging.
    if not used_before and unmount is not None and hasattr(object, "save"):
        unmount("save")
        nnsight.CONFIG.APP.PYMOUNT = False
    nnsight.CONFIG.APP.DEBUG = False
    return nnsight


nnsight = _import_nnsight()


class NNsightBackend(PlainBackend):
    """Reads and edits through an nnsight trace, place by place in the order of the forward pass.

    An attention pattern can be read but not edited.
    """

    name = "nnsight"

    def __init__(self, module: nn.Module, tokenizer: Any, paths: ModulePaths | None = None) -> None:
        """Wrap a weight-sharing twin of the model.

        Raises:
            Unsupported: the architecture is not known.
        """
        super().__init__(module, tokenizer, paths)
        self._traced = nnsight.NNsight(self._call)

    def supports(self, kind: Kind, *, edit: bool) -> bool:
        """Whether sites of that kind can be read (or edited) on this model."""
        return super().supports(kind, edit=edit) and not (edit and kind is Kind.ATTN_PATTERN)

    def run(self, step: Pass, wanted: Wanted) -> Tensor | None:
        """Run once inside a trace."""
        attention = (self.paths.point(place).path for place in step.patterns)
        shown = {self.module.get_submodule(path): _as_it_is for path in attention}
        with watched_patterns(self.module, shown):
            return self._trace(step, wanted)

    def _trace(self, run: Pass, wanted: Wanted) -> Tensor | None:
        places = [
            (place, self.paths.point(place), self._envoy(self.paths.point(place).path))
            for place in sorted(run.inside, key=self.paths.turn)
        ]
        if not places:
            return cast(Tensor | None, self._call(wanted, run))
        traced = self._traced
        with traced.trace(wanted, run):
            for place, point, envoy in places:
                _pass_through(run, place, point, envoy)
            logits = nnsight.save(traced.output)
        return cast(Tensor | None, logits)

    def _envoy(self, path: str) -> Any:
        found: Any = self._traced.model
        for name in path.split("."):
            found = found[int(name)] if name.isdigit() else getattr(found, name)
        return found


def _pass_through(run: Pass, place: Site, point: HookPoint, envoy: Any) -> None:
    whole = envoy.input if point.side == "input" else envoy.output
    raw = whole if isinstance(whole, Tensor) else whole[point.element]
    x = point.view(raw, run.batch)
    changed = run.visit(place, x)
    if changed is x:
        return
    written = point.write(raw, changed)
    if point.side == "input":
        envoy.input = written
    elif isinstance(whole, Tensor):
        envoy.output = written
    else:
        elements = list(whole)
        elements[point.element] = written
        envoy.output = tuple(elements)


def _as_it_is(pattern: Tensor) -> Tensor:
    return pattern
