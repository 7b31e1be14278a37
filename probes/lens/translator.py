"""One affine map per layer, from its states to the last layer's."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.errors import ModelError
from workbench.model.spec import ModelSpec


@dataclass(frozen=True, eq=False)
class Translators:
    """h + h·down·up + bias for every layer but the last.

    A map of full rank has a square `down` and no `up`. All zero is the identity, bit for bit.
    """

    down: Float[Tensor, "layer d_model rank"]
    up: Float[Tensor, "layer rank d_model"] | None
    bias: Float[Tensor, "layer d_model"]

    @classmethod
    def identity(cls, spec: ModelSpec, *, rank: int) -> "Translators":
        """Return maps that change nothing; rank 0 is full."""
        layers, width = spec.n_layers - 1, spec.d_model
        return cls(
            torch.zeros(layers, width, rank or width),
            torch.zeros(layers, rank, width) if rank else None,
            torch.zeros(layers, width),
        )

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], spec: ModelSpec) -> "Translators":
        """Read the maps of a checkpoint.

        Raises:
            ModelError: tensors are missing or do not fit the model.
        """
        missing = {"down", "bias"} - tensors.keys()
        if missing:
            raise ModelError(f"the checkpoint lacks the tensors {', '.join(sorted(missing))}")
        layers, width = spec.n_layers - 1, spec.d_model
        rank = tensors["down"].shape[-1]
        wanted: dict[str, tuple[int, ...]] = {
            "down": (layers, width, rank),
            "up": (layers, rank, width),
            "bias": (layers, width),
        }
        wrong = [n for n, t in tensors.items() if tuple(t.shape) != wanted.get(n)]
        if wrong or ("up" not in tensors and rank != width):
            shapes = ", ".join(f"{n} {tuple(t.shape)}" for n, t in tensors.items())
            raise ModelError(f"maps of shape {shapes}; expected {layers} layers of width {width}")
        up = tensors["up"].float() if "up" in tensors else None
        return cls(tensors["down"].float(), up, tensors["bias"].float())

    def tensors(self) -> dict[str, Tensor]:
        """Return the maps by name."""
        named = {"down": self.down, "up": self.up, "bias": self.bias}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def put(self, layer: int, values: Mapping[str, Tensor]) -> None:
        """Replace the maps of one layer."""
        for name, tensor in self.tensors().items():
            tensor[layer] = values[name]

    def at(self, layer: int) -> dict[str, Tensor]:
        """Return a copy of the maps of one layer."""
        return {name: tensor[layer].clone() for name, tensor in self.tensors().items()}

    def __call__(self, layer: int, h: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_model"]:
        """Translate states of a layer; those of the last one are returned as they are."""
        if layer >= len(self.bias):
            return h
        x = h.float()
        up = self.up if self.up is None else self.up[layer]
        return translate(x, self.down[layer], up, self.bias[layer])


def translate(
    h: Float[Tensor, "n d_model"],
    down: Float[Tensor, "d_model rank"],
    up: Float[Tensor, "rank d_model"] | None,
    bias: Float[Tensor, " d_model"],
) -> Float[Tensor, "n d_model"]:
    """Return h + h·down·up + bias."""
    moved = h @ down.to(h.device)
    if up is not None:
        moved = moved @ up.to(h.device)
    found: Tensor = h + (moved + bias.to(h.device))
    return found


class TrainedTranslators(nn.Module):
    """The maps while they are trained, one set of parameters per layer.

    Biases are kept in units of the layer's typical state: states of different layers differ in
    size by orders of magnitude, and Adam's steps do not.
    """

    def __init__(self, start: Translators, scale: Float[Tensor, " layer"]) -> None:
        """Start from given maps; `scale` is the root mean square of each layer's entries."""
        super().__init__()
        self.down = nn.ParameterList(start.down.unbind())
        self.up = nn.ParameterList(start.up.unbind() if start.up is not None else ())
        self.bias = nn.ParameterList((start.bias / scale[:, None]).unbind())
        self._scale = scale

    def forward(self, layer: int, h: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_model"]:
        """Translate states of a layer, with gradients."""
        up = self.up[layer] if len(self.up) else None
        return translate(
            h.float(), self.down[layer], up, self.bias[layer] * float(self._scale[layer])
        )

    def frozen(self) -> Translators:
        """Return a copy of the maps."""
        bias = torch.stack([b.detach() for b in self.bias])
        return Translators(
            torch.stack([t.detach() for t in self.down]),
            torch.stack([t.detach() for t in self.up]) if len(self.up) else None,
            bias * self._scale[:, None].to(bias.device),
        )
