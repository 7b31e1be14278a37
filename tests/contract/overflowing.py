"""Tiny models whose numbers leave float16: everywhere, in a middle layer, or on one token."""

from functools import cache

import torch

from workbench.model.model import Model
from workbench.model.tiny import tiny_module
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.wrap import wrap_model

FAMILY = "llama"
TOKEN = 17
"""The token that overflows where only some rows do."""


@cache
def overflowing_model(how: str) -> Model:
    """Return a float16 model with finite weights that overflows in the head, a layer or a row."""
    module = tiny_module(FAMILY)
    layer = module.model.layers[1]
    with torch.no_grad():
        if how == "head":
            _scale(module.lm_head.weight, 3e4)
        elif how == "layer":
            _scale(layer.mlp.down_proj.weight, 6e4)
            _scale(layer.mlp.up_proj.weight, 1e3)
        else:
            _scale(layer.mlp.down_proj.weight, 1e2)
            module.model.embed_tokens.weight[TOKEN] = 65504.0
    module = module.to(torch.float16)
    assert all(torch.isfinite(p).all() for p in module.parameters())
    return wrap_model(module, tiny_tokenizer(), name=f"overflow:{how}")


def _scale(weight: torch.Tensor, largest: float) -> None:
    weight *= largest / weight.abs().max()
