"""A model that leaves parts out while it generates; the prompt always runs in full."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Unpack

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from workbench.errors import Unsupported
from workbench.model.backend import Backend, Inputs, Outputs
from workbench.model.backends.torch_hooks import HooksBackend
from workbench.model.backends.twin import twin
from workbench.model.model import Model
from workbench.model.policy import Host, PassOptions, RowPlan
from workbench.model.rope_switch import RopeSwitch
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens


class SteppedHost:
    """A Host that runs another model at every step; `at(t)` is that of the t-th token."""

    def __init__(self, model: Host, at: Callable[[int], Host]) -> None:
        """Stand in for a model; step 0 is its prompt."""
        self.spec: ModelSpec = model.spec
        self.backend: Backend = model.backend
        self.switch: RopeSwitch | None = model.switch
        self._model, self._at = model, at

    @property
    def device(self) -> torch.device:
        """Where the input embeddings live."""
        return self._model.device

    def forward(self, inputs: Inputs, **asked: Unpack[PassOptions]) -> Outputs:
        """Make the forward pass of that step."""
        return self._at(asked.get("step", 0)).forward(inputs, **asked)

    def row_plan(self, tokens: Tokens, *, more: int = 0) -> RowPlan:
        """Say how rows run.

        Raises:
            Unsupported: without a cache the prompt would run again with parts left out.
        """
        plan = self._model.row_plan(tokens, more=more)
        if not plan.keeps:
            raise Unsupported(f"{self.spec.name} keeps no cache, so that nothing may be left out")
        return plan

    def embed(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        """Look token ids up in the input embedding."""
        return self._model.embed(ids)

    def unembed(
        self, h: Float[Tensor, "*batch d_model"], *, normed: bool = False
    ) -> Float[Tensor, "*batch d_vocab"]:
        """Map residual-stream states to logits."""
        return self._model.unembed(h, normed=normed)

    def decode(self, ids: Sequence[int] | Int[Tensor, " pos"]) -> str:
        """Turn token ids into text."""
        return self._model.decode(ids)


@dataclass(kw_only=True, eq=False)
class FeedForwardSkips:
    """Which feed-forward blocks are left out at the newest position, decided on the way up.

    Once the cosine of the stream before and after a block reaches `threshold`, the blocks of the
    next `span` layers are left out; the first and last `cold` layers always run. `run` and
    `left_out` count blocks and rows.
    """

    n_layers: int
    threshold: float
    span: int
    cold: int
    run: int = 0
    left_out: int = 0
    _left: Int[Tensor, "batch pos"] | None = None
    _added: Tensor | None = None

    def __deepcopy__(self, memo: object) -> "FeedForwardSkips":
        """Copies of a module share one state, as their hooks do."""
        return self

    def off(self, layer: int, x: Float[Tensor, "batch pos d_model"]) -> Bool[Tensor, "batch pos"]:
        """Return where the block of that layer is left out."""
        if layer == 0 or self._left is None:
            self._left = torch.zeros(x.shape[:2], dtype=torch.long, device=x.device)
        warm = self.cold <= layer < self.n_layers - self.cold
        return (self._left.to(x.device) > 0) & warm

    def block(self, layer: int, module: nn.Module, x: Tensor) -> Tensor:
        """Run the block where it is wanted; a pass that wants it nowhere does not compute it."""
        off = self.off(layer, x)
        # Whether there is anything to compute has to be known here: one wait for each block.
        n_off = int(off.sum())
        self.left_out += n_off
        self.run += off.numel() - n_off
        self._added = torch.zeros_like(x)
        if n_off < off.numel():
            found: Tensor = module(x)
            self._added = found.masked_fill(off[..., None], 0)
        return self._added

    def after(self, layer: int, stream: Float[Tensor, "batch pos d_model"]) -> None:
        """Decide about the next layers from the stream behind this one."""
        if self._added is None or self._left is None:
            return
        off = self.off(layer, stream)
        added = self._added.to(stream)
        cosine = torch.nn.functional.cosine_similarity(stream - added, stream, dim=-1)
        warm = self.cold <= layer < self.n_layers - self.cold
        saturated = (cosine >= self.threshold) & ~off & warm
        left = self._left.to(stream.device)
        self._left = torch.where(saturated, self.span, (left - 1).clamp(min=0))


class _Skippable(nn.Module):
    def __init__(self, layer: int, module: nn.Module, skips: FeedForwardSkips) -> None:
        super().__init__()
        self.module, self._layer, self._skips = module, layer, skips

    def forward(self, x: Tensor) -> Tensor:
        return self._skips.block(self._layer, self.module, x)


def with_skips(model: Host, skips: FeedForwardSkips) -> Model:
    """Return the model with feed-forward blocks that `skips` leaves out, sharing every weight.

    Raises:
        Unsupported: the backend is not `hooks`, or a block is not one module.
    """
    if not isinstance(model, Model) or not isinstance(model.backend, HooksBackend):
        raise Unsupported(
            f"feed-forward blocks are skipped on backend hooks, not {model.backend.name}",
            hint='load_model(name, backend="hooks")',
        )
    paths, module = model.backend.paths, twin(model.backend.module)
    for layer in range(model.spec.n_layers):
        point = paths.point(Site(Kind.MLP_OUT, layer))
        parent, _, name = point.path.rpartition(".")
        block = module.get_submodule(point.path)
        if parent != f"{paths.layers}.{layer}" or point.side != "output":
            raise Unsupported(f"the feed-forward block of {model.spec.name} is not one module")
        setattr(module.get_submodule(parent), name, _Skippable(layer, block, skips))
        module.get_submodule(parent).register_forward_hook(_watch(layer, skips))
    backend = HooksBackend(module, model.tokenizer, paths)
    return Model(spec=model.spec, tokenizer=model.tokenizer, backend=backend, checked_as=model)


def _watch(layer: int, skips: FeedForwardSkips) -> Callable[..., None]:
    def after(_: nn.Module, __: object, output: Tensor | tuple[Tensor, ...]) -> None:
        skips.after(layer, output if isinstance(output, Tensor) else output[0])

    return after
