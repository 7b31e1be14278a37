"""What a hook backend must be able to do: one forward pass with reads and edits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from workbench.model.edits import Edit
from workbench.model.points import ModulePaths
from workbench.model.sites import Kind, Site

Wanted = Literal["none", "last", "all"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """One forward pass: token ids or input vectors, and what came before them.

    `mask` covers the cache and the new positions; `position_ids` the new positions only.
    `cache` is a transformers `Cache`, changed in place. What is known beforehand need not be asked
    of a device: `host_mask` is the mask on the processor, and `needs_mask` is false where no
    position is padded or shifted. `visible` says which columns each new position sees, None for
    the real ones before it.
    """

    mask: Bool[Tensor, "batch seen"]
    position_ids: Int[Tensor, "batch pos"]
    ids: Int[Tensor, "batch pos"] | None = None
    embeds: Float[Tensor, "batch pos d_model"] | None = None
    cache: Any = None
    host_mask: Bool[Tensor, "batch seen"] | None = None
    needs_mask: bool | None = None
    visible: Bool[Tensor, "batch pos seen"] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Outputs:
    """What came out: logits as asked (`last` keeps one position) and the captured sites."""

    logits: Float[Tensor, "batch pos d_vocab"] | None = None
    captured: Mapping[Site, Tensor] = field(default_factory=dict)


@runtime_checkable
class Backend(Protocol):
    """One way of reaching inside a model; it owns its own weight-sharing twin.

    Calls are made one at a time: the Model that owns the backend holds a lock.
    """

    name: str
    module: nn.Module
    paths: ModulePaths

    @property
    def plain(self) -> Any:
        """The transformers model without anything on it, for comparison."""

    def supports(self, kind: Kind, *, edit: bool) -> bool:
        """Whether sites of that kind can be read (or edited) on this model."""

    def layers_with(self, kind: Kind) -> tuple[int, ...]:
        """Return the layers that have a site of that kind; in a hybrid model not all do."""

    def forward(
        self, inputs: Inputs, *, read: Sequence[Site], edits: Sequence[Edit], logits: Wanted
    ) -> Outputs:
        """Run once; reads see the state after the edits at the same site."""

    def unembed(
        self, h: Float[Tensor, "*batch d_model"], *, normed: bool
    ) -> Float[Tensor, "*batch d_vocab"]:
        """Map residual-stream states to logits, through the final norm unless `normed`."""

    def embed(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        """Look token ids up in the input embedding."""
