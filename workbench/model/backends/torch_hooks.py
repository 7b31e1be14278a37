"""The reference backend: plain forward hooks on the transformers model."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any

from torch import Tensor, nn

from workbench.model.backend import Wanted
from workbench.model.backends.one_pass import Pass
from workbench.model.backends.twin_backend import PlainBackend
from workbench.model.patterns import Visit, watched_patterns
from workbench.model.points import HookPoint, ModulePaths
from workbench.model.sites import Kind, Site


class HooksBackend(PlainBackend):
    """Reads and edits through hooks that live for one forward pass.

    A whole site is captured by reference, without a copy; selected positions are copied out so
    that the rest is freed. Reading never changes a bit of what the model computes: fused attention
    kernels keep running, and patterns are computed beside them.
    """

    name = "hooks"

    def __init__(self, module: nn.Module, tokenizer: Any, paths: ModulePaths | None = None) -> None:
        """Make a weight-sharing twin of the model, with no hook on it yet.

        Raises:
            Unsupported: the architecture is not known.
        """
        super().__init__(module, tokenizer, paths)
        self._met: dict[Site, tuple[nn.Module, HookPoint]] = {}

    def run(self, step: Pass, wanted: Wanted) -> Tensor | None:
        """Run once under hooks."""
        with ExitStack() as stack:
            stack.enter_context(watched_patterns(self.module, self._patterns(step)))
            for place in step.inside:
                if place.kind is not Kind.ATTN_PATTERN:
                    stack.enter_context(self._watch(step, place))
            logits: Tensor | None = self._call(wanted, step)
        return logits

    def _patterns(self, run: Pass) -> dict[nn.Module, Visit]:
        return {
            self.module.get_submodule(self.paths.point(place).path): partial(run.visit, place)
            for place in run.patterns
        }

    def _watch(self, run: Pass, place: Site) -> AbstractContextManager[Any]:
        if place not in self._met:
            point = self.paths.point(place)
            self._met[place] = self.module.get_submodule(point.path), point
        module, point = self._met[place]

        def through(raw: Tensor) -> Tensor:
            x = point.view(raw, run.batch)
            changed = run.visit(place, x)
            return raw if changed is x else point.write(raw, changed)

        return _hook(module, point, through)


def _hook(
    module: nn.Module, point: HookPoint, through: Callable[[Tensor], Tensor]
) -> AbstractContextManager[Any]:
    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (through(args[0]), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": through(kwargs["hidden_states"])}

    def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, Tensor):
            return through(output)
        found = list(output)
        found[point.element] = through(found[point.element])
        return tuple(found)

    if point.side == "input":
        return module.register_forward_pre_hook(before, with_kwargs=True)
    return module.register_forward_hook(after)
