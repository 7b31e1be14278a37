"""Batches, places and modules that tests of the hooks read at."""

from typing import Any

from workbench.model.backends.torch_hooks import HooksBackend
from workbench.model.model import Model
from workbench.model.sites import Kind, Site

ROWS = [[5, 6, 7, 8, 9, 10], [11, 12, 13], [14, 15, 16, 17]]
SIDES = ("left", "right")


def site(text: str) -> Site:
    return Site.parse(text)


def hooks(model: Model) -> HooksBackend:
    assert isinstance(model.backend, HooksBackend)
    return model.backend


def kinds(model: Model) -> list[Kind]:
    return [kind for kind in Kind if model.backend.supports(kind, edit=False)]


def places(model: Model, *, layer: int = 1, pattern: bool = True) -> list[Site]:
    found = [Site(kind, layer if kind.has_layer else None) for kind in kinds(model)]
    return [place for place in found if pattern or place.kind is not Kind.ATTN_PATTERN]


def module_at(model: Model, place: Site) -> Any:
    backend = hooks(model)
    return backend.module.get_submodule(backend.paths.point(place).path)


def has_no_hooks(module: Any) -> bool:
    return not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
