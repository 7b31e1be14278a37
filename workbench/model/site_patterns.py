"""Addresses of many sites in one: `resid_post.*`, `attn_out.10:20`, `attn_pattern.::2[-1]`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.errors import BadSite, NoSuchLayers
from workbench.model.sites import Kind, Site, address_parts

if TYPE_CHECKING:
    from workbench.model.spec import ModelSpec


@dataclass(frozen=True)
class SitePattern:
    """One kind of site in the layers that are asked for, each at the same positions.

    `layers` is `*` for all, one layer as in a Site, or a Python slice: half-open, from the end
    where negative, with an optional step.
    """

    kind: Kind
    layers: str = ""
    positions: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse layers of a kind that has none, a kind without its layers, and a step of 0."""
        Site(self.kind, 0 if self.layers else None, self.positions)
        if ":" in self.layers and self._slice.step == 0:
            raise BadSite(f"{self} has a step of 0", hint=f"write {self.kind}.::2 for every second")

    @classmethod
    def parse(cls, text: str) -> "SitePattern":
        """Read a pattern or an address.

        Raises:
            BadSite: the text is neither.
        """
        return cls(*address_parts(text))

    def sites(self, spec: "ModelSpec") -> tuple[Site, ...]:
        """Return the sites of that model in the order in which the layers are asked for.

        Raises:
            BadSite: the model lacks the layer.
            NoSuchLayers: a slice of the layers is empty.
        """
        if not self._is_slice:
            layer = int(self.layers) if self.layers else None
            return (Site(self.kind, layer, self.positions).resolve(spec),)
        layers = range(spec.n_layers)[self._slice]
        if not layers:
            raise NoSuchLayers(
                f"{self} matches no layer; {spec.name} has layers 0 to {spec.n_layers - 1}",
                hint=f"{self.kind}.* is every layer, {self.kind}.-2: the last two",
            )
        return tuple(Site(self.kind, layer, self.positions) for layer in layers)

    def __str__(self) -> str:
        """Write the pattern the way `parse` reads it."""
        layers = f".{self.layers}" if self.layers else ""
        where = "" if self.positions is None else f"[{','.join(map(str, self.positions))}]"
        return f"{self.kind}{layers}{where}"

    @property
    def _is_slice(self) -> bool:
        return self.layers == "*" or ":" in self.layers

    @property
    def _slice(self) -> slice:
        bounds = () if self.layers == "*" else self.layers.split(":")
        return slice(*(int(bound) if bound else None for bound in bounds or ("",)))


def expand(
    patterns: Iterable[SitePattern | Site | str] | Site | str, spec: "ModelSpec"
) -> tuple[Site, ...]:
    """Return the sites that addresses and patterns name on that model, each once, in order.

    One address need not be in a list.

    Raises:
        BadSite: a text is no address, or the model lacks what it names.
    """
    patterns = (patterns,) if isinstance(patterns, str | Site) else patterns
    found = (
        (pattern.resolve(spec),)
        if isinstance(pattern, Site)
        else SitePattern.parse(str(pattern)).sites(spec)
        for pattern in patterns
    )
    return tuple(dict.fromkeys(site for sites in found for site in sites))
