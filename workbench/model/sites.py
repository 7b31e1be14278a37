"""Where in a model: the typed address of an activation."""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from workbench.errors import BadSite

if TYPE_CHECKING:
    from workbench.model.spec import ModelSpec


class Kind(StrEnum):
    """The places every causal transformer has, in the order a token meets them."""

    EMBED = "embed"
    RESID_PRE = "resid_pre"
    Q = "q"
    K = "k"
    V = "v"
    ATTN_PATTERN = "attn_pattern"
    Z = "z"
    ATTN_OUT = "attn_out"
    RESID_MID = "resid_mid"
    MLP_OUT = "mlp_out"
    RESID_POST = "resid_post"
    FINAL_NORM = "final_norm"
    LOGITS = "logits"

    @property
    def has_layer(self) -> bool:
        """Whether an address of this kind names a layer."""
        return self not in (Kind.EMBED, Kind.FINAL_NORM, Kind.LOGITS)

    @property
    def has_heads(self) -> bool:
        """Whether the activation has a head axis: `batch pos head d_head`, or the pattern."""
        return self in (Kind.Q, Kind.K, Kind.V, Kind.Z, Kind.ATTN_PATTERN)


_ADDRESS = re.compile(
    r"(?P<kind>[a-z_]+)(?:\.(?P<layers>\*|-?\d+|(?:-?\d+)?(?::(?:-?\d+)?){1,2}))?"
    r"(?:\[(?P<positions>-?\d+(?:,-?\d+)*)\])?"
)


@dataclass(frozen=True)
class Site:
    """The address of an activation, written `resid_post.5[-1]`.

    `layer` counts from the end when negative. `positions` select token positions of each
    text, without padding, and count from the end when negative; None is every position.
    Shapes: `batch pos d_model`; `batch pos head d_head` for q (before rotary), k, v and z;
    `batch head pos pos` for the attention pattern, query before key, where `positions` select
    queries; `batch pos d_vocab` for logits.
    """

    kind: Kind
    layer: int | None = None
    positions: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse an address that names a layer it cannot have, or lacks one it needs."""
        if self.kind.has_layer and self.layer is None:
            raise BadSite(f"site {self.kind} needs a layer", hint=f"write {self.kind}.-1")
        if not self.kind.has_layer and self.layer is not None:
            raise BadSite(f"site {self.kind} has no layers", hint=f"write {self.kind}")

    @classmethod
    def parse(cls, text: str) -> "Site":
        """Read an address such as `resid_post.-1`, `q.3[0,-1]` or `logits[-1]`.

        Raises:
            BadSite: the text is not an address.
        """
        kind, layers, positions = address_parts(text)
        if ":" in layers or "*" in layers:
            raise BadSite(
                f"{text!r} is a pattern for several layers; expected one site",
                hint=f"write {kind}.-1, or use the pattern where a list of sites is taken",
            )
        return cls(kind, int(layers) if layers else None, positions)

    def resolve(self, spec: "ModelSpec") -> "Site":
        """Return this address with its layer counted from the start of that model.

        Raises:
            BadSite: the model has no such layer.
        """
        if self.layer is None:
            return self
        layer = self.layer + spec.n_layers if self.layer < 0 else self.layer
        if not 0 <= layer < spec.n_layers:
            last = spec.n_layers - 1
            raise BadSite(
                f"site {self} asks for layer {self.layer}; {spec.name} has layers 0 to {last}",
                hint=f"{self.kind}.{last} or {self.kind}.-1 is the last one",
            )
        return self if layer == self.layer else replace(self, layer=layer)

    def whole(self) -> "Site":
        """Return the same place at every position."""
        return self if self.positions is None else self._at_every_position

    @cached_property
    def _at_every_position(self) -> "Site":
        return replace(self, positions=None)

    @cached_property
    def _hash(self) -> int:
        return hash((self.kind, self.layer, self.positions))

    def __hash__(self) -> int:
        """Return the hash, worked out once: a forward pass asks for it many times a layer."""
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave out what was worked out: hashes of strings differ between processes."""
        return Site, (self.kind, self.layer, self.positions)

    def __str__(self) -> str:
        """Write the address the way `parse` reads it."""
        layer = "" if self.layer is None else f".{self.layer}"
        where = "" if self.positions is None else f"[{','.join(map(str, self.positions))}]"
        return f"{self.kind}{layer}{where}"


def address_parts(text: str) -> tuple[Kind, str, tuple[int, ...] | None]:
    """Return the kind, the layers as written and the positions of an address or a pattern.

    Raises:
        BadSite: the text is neither.
    """
    match = _ADDRESS.fullmatch(text.strip())
    if match is None or match["kind"] not in set(Kind):
        kinds = ", ".join(Kind)
        raise BadSite(
            f"{text!r} is not a site; expected KIND.LAYER[POSITIONS] with KIND one of {kinds}",
            hint="resid_post.-1[-1] is the last layer's residual stream at the last token",
        )
    positions = match["positions"]
    where = tuple(int(p) for p in positions.split(",")) if positions else None
    return Kind(match["kind"]), match["layers"] or "", where


def every_layer(kind: Kind, spec: "ModelSpec") -> tuple[Site, ...]:
    """Return one site per layer of that kind, first layer first."""
    return tuple(Site(kind, layer) for layer in range(spec.n_layers))
