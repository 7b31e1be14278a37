"""Where a kind of activation is found in a model, and how to see it there."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Literal, cast

from jaxtyping import Float
from torch import Tensor

from workbench.errors import Unsupported
from workbench.model.sites import Kind, Site


class Layout(StrEnum):
    """How a module's tensor holds the activation."""

    WHOLE = "whole"
    JOINED = "joined"
    INTERLEAVED = "interleaved"
    SPLIT = "split"
    HEADS_FIRST = "heads_first"
    PATTERN = "pattern"


@dataclass(frozen=True)
class HookPoint:
    """One side of one module, and how to see the activation in what passes there.

    `part` picks query, key or value out of a fused projection. With `shared`, the residual
    stream also goes round the module, so a change has to be made in the tensor itself.
    """

    path: str
    side: Literal["input", "output"]
    layout: Layout = Layout.WHOLE
    heads: int = 0
    d_head: int = 0
    part: int = 0
    shared: bool = False

    @property
    def element(self) -> int:
        """Which element holds the tensor when the module returns a tuple."""
        return 1 if self.layout is Layout.PATTERN else 0

    def view(self, raw: Float[Tensor, "*raw"], batch: int) -> Float[Tensor, "batch *shape"]:
        """Return the activation as a view of the module's tensor."""
        # OPT joins batch and position before its feed-forward part.
        x = cast(Tensor, raw.unflatten(0, (batch, -1))) if raw.dim() == 2 else raw
        if self.layout is Layout.JOINED:
            width = self.heads * self.d_head
            x = x[..., self.part * width : (self.part + 1) * width]
            return cast(Tensor, x.unflatten(-1, (self.heads, self.d_head)))
        if self.layout is Layout.INTERLEAVED:
            return cast(Tensor, x.unflatten(-1, (self.heads, 3, self.d_head)))[..., self.part, :]
        return x.transpose(1, 2) if self.layout is Layout.HEADS_FIRST else x

    def write(
        self, raw: Float[Tensor, "*raw"], x: Float[Tensor, "batch *shape"]
    ) -> Float[Tensor, "*raw"]:
        """Return the module's tensor holding that activation instead."""
        changed = raw if self.shared else raw.clone()
        self.view(changed, x.shape[0]).copy_(x)
        return changed


@dataclass(frozen=True, kw_only=True)
class ModulePaths:
    """The module paths of one model.

    Block paths are relative to a layer, in the order in which a forward pass meets them.
    `differing` holds those of the layers that are built otherwise, as in hybrid models.
    """

    embed: str
    layers: str
    norm: str
    head: str
    n_layers: int
    block: Mapping[Kind, HookPoint]
    differing: Mapping[int, Mapping[Kind, HookPoint]] = field(default_factory=dict)

    def supports(self, kind: Kind) -> bool:
        """Whether the architecture has such a place in any layer."""
        return not kind.has_layer or bool(self.layers_with(kind))

    def in_layer(self, layer: int) -> Mapping[Kind, HookPoint]:
        """Return the places of one layer, relative to it."""
        return self.differing.get(layer, self.block)

    def layers_with(self, kind: Kind) -> tuple[int, ...]:
        """Return the layers that have a place of that kind, first layer first."""
        return self._layers_of.get(kind, ())

    @cached_property
    def _layers_of(self) -> Mapping[Kind, tuple[int, ...]]:
        found: dict[Kind, list[int]] = defaultdict(list)
        for layer in range(self.n_layers):
            for kind in self.in_layer(layer):
                found[kind].append(layer)
        return {kind: tuple(layers) for kind, layers in found.items()}

    def point(self, site: Site) -> HookPoint:
        """Return where that site is found.

        Raises:
            Unsupported: the architecture has no such place.
        """
        if site.kind is Kind.EMBED:
            return HookPoint(self.embed, "output")
        if site.kind is Kind.FINAL_NORM:
            return HookPoint(self.norm, "output")
        if site.kind is Kind.LOGITS:
            return HookPoint(self.head, "output")
        point = self.in_layer(site.layer or 0).get(site.kind)
        if point is None:
            raise Unsupported(f"this architecture has no {site.kind} in layer {site.layer}")
        path = f"{self.layers}.{site.layer}.{point.path}".rstrip(".")
        return replace(point, path=path)

    def turn(self, site: Site) -> tuple[int, int]:
        """Return when a forward pass meets that site: the layer, and the turn within it."""
        if site.layer is None:
            return (-1, 0) if site.kind is Kind.EMBED else (self.n_layers, 0)
        return site.layer, list(self.in_layer(site.layer)).index(site.kind)

    def without(self, kinds: Sequence[Kind]) -> "ModulePaths":
        """Return the same paths with some kinds left out."""

        def kept(block: Mapping[Kind, HookPoint]) -> dict[Kind, HookPoint]:
            return {kind: point for kind, point in block.items() if kind not in kinds}

        differing = {layer: kept(block) for layer, block in self.differing.items()}
        return replace(self, block=kept(self.block), differing=differing)
