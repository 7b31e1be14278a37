"""Networks that several tests need: random ones whose states differ, and a trained codec."""

from collections.abc import Sequence

import torch

from workbench.model.model import Model
from workbench.training.adapter import Adapter, LoraShape
from workbench.training.codec_files import fresh_adapters, joined
from workbench.training.scratch import ScratchShape, scratch_model


def spread_network(
    texts: Sequence[str], *, layers: int = 2, seed: int = 0, weights: int = 1
) -> Model:
    """Return a random network on the words of some texts, so spread that its states differ."""
    shape = ScratchShape(layers=layers, width=32, heads=2)
    return spread(scratch_model(texts, shape, seed=seed, name="words"), weights)


def spread(model: Model, seed: int) -> Model:
    """Draw the matrices of a network of width 32 anew, far enough from linear."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.backend.module.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 32**0.5)
    return model


def memorised(model: Model, sentences: Sequence[str], shape: LoraShape) -> dict[str, Adapter]:
    """Return the adapters of a codec trained until a handful of sentences come back."""
    adapters = fresh_adapters(model, shape, generator=torch.Generator().manual_seed(0))
    codec = joined(model, adapters)
    weights = [p for one in adapters.values() for p in one.parameters().values()]
    optimiser = torch.optim.AdamW(weights, lr=4e-3, betas=(0.9, 0.98), weight_decay=0)
    rows = codec.ids.of(sentences)
    for _ in range(90):
        optimiser.zero_grad()
        codec.token_losses(codec.vectors(rows), rows).mean().backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
    return adapters
