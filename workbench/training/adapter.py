"""LoRA adapters on a weight-sharing twin of a model; the model itself is never changed."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.errors import BadOption, ModelError, Unsupported
from workbench.model.backends.torch_hooks import HooksBackend
from workbench.model.backends.twin import twin
from workbench.model.model import Model
from workbench.model.points import ModulePaths
from workbench.model.sites import Kind
from workbench.training.checkpoint import Checkpoint
from workbench.training.weights import copies, take_over

Part = Literal["attention", "mlp", "both"]

_NAME = "adapter"
_SIDES = (f".lora_A.{_NAME}.weight", f".lora_B.{_NAME}.weight")


@dataclass(frozen=True, kw_only=True)
class LoraShape:
    """The size of an adapter and which projections of every block it sits on.

    The update of a projection is alpha/rank · B·A·x; `dropout` acts on x while training. Blocks
    before `first_block` have none.
    Source: Hu et al. 2022, arXiv:2106.09685, section 4.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    part: Part = "mlp"
    first_block: int = 0

    def __post_init__(self) -> None:
        """Refuse a shape that is none."""
        if self.rank < 1 or not 0 <= self.dropout < 1:
            raise BadOption(
                f"adapter of rank {self.rank} with dropout {self.dropout}; expected a positive "
                "rank and a dropout of at least 0 and below 1"
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, for a manifest's options."""
        return asdict(self)


class Adapter:
    """The trainable matrices of one adapter, and the adapted model they belong to.

    `model` runs, generates and is hooked like any other model. It shares every weight with the
    base model; only the adapter's matrices are its own.
    """

    def __init__(
        self, base: Model, shape: LoraShape, *, generator: torch.Generator, suffix: str = "adapter"
    ) -> None:
        """Put fresh matrices on a twin of the model: A random, B zero, so nothing changes yet.

        Raises:
            Unsupported: the backend is not `hooks`, or the model has no such projections.
        """
        if not isinstance(base.backend, HooksBackend):
            raise Unsupported(
                f"adapters are put on models of backend hooks, not {base.backend.name}",
                hint='load_model(name, backend="hooks")',
            )
        if base.spec.adapter:
            raise Unsupported(
                f"{base.spec.name} holds an adapter already ({base.spec.adapter})",
                hint="merge it into the model and save the result",
            )
        self.base, self.shape = base, shape
        modules = target_modules(
            base.backend.module, base.backend.paths, shape.part, first=shape.first_block
        )
        backend = HooksBackend(
            _injected(base.backend.module, shape, modules), base.tokenizer, base.backend.paths
        )
        digest = hashlib.sha256(f"{base.spec.weights_hash} {suffix} {shape}".encode()).hexdigest()
        spec = replace(base.spec, name=f"{base.spec.name} + {suffix}", weights_hash=digest)
        self.model = Model(spec=spec, tokenizer=base.tokenizer, backend=backend)
        self._layers: list[Any] = [backend.module.get_submodule(name) for name in modules]
        self._dropouts = [_seeded(layer, shape.dropout) for layer in self._layers]
        _start(self.parameters(), generator)

    @classmethod
    def restore(cls, base: Model, checkpoint: Checkpoint, *, prefix: str = "") -> "Adapter":
        """Return the adapter kept in a checkpoint, under names that begin with `prefix`.

        Raises:
            ModelError: the checkpoint holds no adapter of this model.
        """
        options = checkpoint.manifest.options.get("adapter")
        if not isinstance(options, Mapping):
            raise ModelError(
                "the checkpoint's manifest describes no adapter",
                hint="name a folder written by a recipe that trains one",
            )
        kept = {
            name.removeprefix(prefix): tensor
            for name, tensor in checkpoint.tensors.items()
            if name.startswith(prefix)
        }
        suffix = f"{prefix}{checkpoint.manifest.weights_hash[:12]}"
        adapter = cls(base, LoraShape(**options), generator=torch.Generator(), suffix=suffix)
        adapter.load(kept)
        return adapter

    @property
    def module(self) -> Any:
        """The transformers model that carries the adapter, for passes with gradients."""
        return self.model.backend.module

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the matrices by name, `PATH.lora_A` and `PATH.lora_B`, in float32."""
        return {
            name.replace(f".{_NAME}.weight", ""): parameter
            for name, parameter in self.module.named_parameters()
            if name.endswith(_SIDES)
        }

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """Return copies of the matrices as a checkpoint holds them, names behind `prefix`."""
        return copies(self.parameters(), prefix)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over matrices that `tensors` returned.

        Raises:
            ModelError: names or shapes differ.
        """
        hint = "the adapter belongs to another model, rank or choice of projections"
        take_over(self.parameters(), tensors, hint=hint)

    @contextmanager
    def off(self) -> Iterator[Model]:
        """Run without the adapter: the adapted model then is the base model, bit for bit."""
        for layer in self._layers:
            layer.enable_adapters(False)
        try:
            yield self.model
        finally:
            for layer in self._layers:
                layer.enable_adapters(True)
                layer.requires_grad_(False)
            for parameter in self.parameters().values():
                parameter.requires_grad_(True)

    @contextmanager
    def training(self, generator: torch.Generator) -> Iterator[None]:
        """Switch dropout on, drawn from that generator."""
        for dropout in self._dropouts:
            dropout.generator = generator
        try:
            yield
        finally:
            for dropout in self._dropouts:
                dropout.generator = None


def target_modules(
    module: nn.Module, paths: ModulePaths, part: Part, *, first: int = 0
) -> list[str]:
    """Return the paths of the projections of that part, in every block from the first on.

    Raises:
        Unsupported: there are none, or attention cannot be told from the rest.
    """
    from transformers.pytorch_utils import Conv1D

    found = []
    for layer in range(first, paths.n_layers):
        block = module.get_submodule(f"{paths.layers}.{layer}")
        for name, child in block.named_modules():
            if isinstance(child, nn.Linear | Conv1D) and _belongs(name, paths, part):
                found.append(f"{paths.layers}.{layer}.{name}")
    if not found:
        raise Unsupported(
            f"{type(module).__name__} has no projections of part {part!r}",
            hint="choose another part: attention, mlp or both",
        )
    return found


def _belongs(name: str, paths: ModulePaths, part: Part) -> bool:
    if part == "both":
        return True
    if Kind.Z not in paths.block:
        raise Unsupported(
            "where this model's attention ends is not known, so its projections cannot be told "
            "from the feed-forward ones",
            hint="choose both",
        )
    attention = paths.block[Kind.Z].path.rpartition(".")[0]
    return name.startswith(f"{attention}.") == (part == "attention")


def _injected(module: nn.Module, shape: LoraShape, modules: list[str]) -> nn.Module:
    """Return a twin with peft's layers in place; the global random state is left as it was."""
    from peft import LoraConfig, inject_adapter_in_model
    from transformers.pytorch_utils import Conv1D

    config = LoraConfig(
        r=shape.rank,
        lora_alpha=cast(int, shape.alpha),
        lora_dropout=0.0,
        target_modules=modules,
        fan_in_fan_out=isinstance(module.get_submodule(modules[0]), Conv1D),
    )
    copied = twin(module)
    for parameter in copied.parameters():
        parameter.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        injected: nn.Module = inject_adapter_in_model(config, copied, adapter_name=_NAME)
    for name, parameter in injected.named_parameters():
        if name.endswith(_SIDES):
            # Small steps vanish in half precision; peft casts the input to the matrices' type.
            parameter.data = parameter.data.float()
    return injected


def _start(parameters: Mapping[str, nn.Parameter], generator: torch.Generator) -> None:
    with torch.no_grad():
        for name, parameter in parameters.items():
            if name.endswith("lora_B"):
                parameter.zero_()
                continue
            bound = parameter.shape[1] ** -0.5
            noise = torch.rand(parameter.shape, generator=generator)
            parameter.copy_((2 * noise - 1) * bound)


class _SeededDropout(nn.Module):
    """Dropout from a generator of its own; without one, the identity."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.generator: torch.Generator | None = None

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        if self.generator is None or self.p == 0:
            return x
        noise = torch.rand(x.shape, generator=self.generator, device=self.generator.device)
        return x * (noise >= self.p).to(x) / (1 - self.p)


def _seeded(layer: Any, p: float) -> _SeededDropout:
    dropout = _SeededDropout(p)
    layer.lora_dropout[_NAME] = dropout
    return dropout
