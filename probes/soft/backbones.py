"""The four backbones behind soft inputs: the model, random weights, attention alone, none."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.errors import Unsupported
from workbench.model.backends.torch_hooks import HooksBackend
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.training.network import FullTuning, Network

BACKBONES = ("pretrained", "random", "attention", "removed")
Backbone = Callable[[Float[Tensor, "row pos d_model"]], Float[Tensor, "row d_model"]]
"""From the input vectors of each row to the last state."""


def backbone(name: str, model: Model, generator: torch.Generator) -> Backbone:
    """Return one of `BACKBONES`; it is frozen, and gradients pass through it.

    `random` has every matrix of the model with its entries in random order, `attention` its
    feed-forward blocks silenced, `removed` hands on the last input vector.

    Raises:
        Unsupported: the backend is not `hooks`, or a feed-forward block is not one module.
    """
    if name == "removed":
        return lambda embeds: embeds[:, -1]
    if not isinstance(model.backend, HooksBackend):
        raise Unsupported(
            f"backbones are built on backend hooks, not {model.backend.name}",
            hint='load_model(name, backend="hooks")',
        )
    network = Network(FullTuning(model).module).freeze()
    if name == "random":
        _mix(network.module, generator)
    elif name == "attention":
        _silence(network.module, model)

    def last(embeds: Tensor) -> Tensor:
        embeds = embeds.to(network.device)
        mask = torch.ones(embeds.shape[:2], dtype=torch.bool, device=embeds.device)
        return network.states(embeds, mask)[:, -1]

    return last


def _mix(module: nn.Module, generator: torch.Generator) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                order = torch.randperm(parameter.numel(), generator=generator)
                flat = parameter.flatten()[order.to(parameter.device)]
                parameter.copy_(flat.view_as(parameter))


def _silence(module: Any, model: Model) -> None:
    paths = model.backend.paths
    for layer in range(model.spec.n_layers):
        point = paths.point(Site(Kind.MLP_OUT, layer))
        if point.side != "output":
            raise Unsupported(f"the feed-forward block of {model.spec.name} is not one module")
        module.get_submodule(point.path).register_forward_hook(_zero)


def _zero(_: nn.Module, __: object, output: Tensor) -> Tensor:
    return torch.zeros_like(output)
