"""Tiny random models of real architectures, for tests and demonstrations without weights."""

import difflib
import math
from typing import Any

import torch
from torch import nn

from workbench.errors import UnknownName
from workbench.model.model import Model
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.wrap import check_backend, wrap_model

FAMILIES = (
    "gpt2",
    "gpt_neox",
    "llama",
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "gemma3",
    "opt",
)
TINY_PREFIX = "tiny:"
_SEED_DIGITS = 18  # what a generator takes

_LAYERS, _WIDTH, _HEADS, _KEY_VALUE_HEADS, _POSITIONS = 3, 32, 4, 2, 256


def tiny_model(family: str, *, seed: int = 0, backend: str = "hooks") -> Model:
    """Build a random model of that family: 3 layers, width 32, a 64-word vocabulary.

    The weights depend on `seed` alone; the global random state is left as it was.

    Raises:
        UnknownName: no such family.
        BadOption: no such backend.
    """
    check_backend(backend)
    module = tiny_module(family, seed=seed)
    name = f"{TINY_PREFIX}{family}" + (f":{seed}" if seed else "")
    return wrap_model(module, tiny_tokenizer(), name=name, backend=backend)


def parse_tiny(name: str) -> tuple[str, int]:
    """Split `tiny:llama` or `tiny:llama:7` into family and seed.

    Raises:
        UnknownName: the family does not exist, or the seed is no number.
    """
    family, _, seed = name.removeprefix(TINY_PREFIX).partition(":")
    if seed and not (seed.isdecimal() and seed.isascii() and len(seed) <= _SEED_DIGITS):
        raise UnknownName(
            f"{name!r} ends in {seed!r}; expected a seed of at most {_SEED_DIGITS} digits",
            hint=f"tiny:{family}:1",
        )
    _check_family(family)
    return family, int(seed or 0)


def tiny_module(family: str, *, seed: int = 0) -> nn.Module:
    """Build only the transformers model, in evaluation mode.

    Raises:
        UnknownName: no such family.
    """
    _check_family(family)
    return random_module(_config(family), seed)


def random_module(config: Any, seed: int, **more: str) -> nn.Module:
    """Build the transformers model of a configuration, with random weights, to be evaluated."""
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        module: nn.Module = AutoModelForCausalLM.from_config(config, **more)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            fill_randomly(parameter, generator)
    return module.eval()


def _check_family(family: str) -> None:
    if family in FAMILIES:
        return
    close = difflib.get_close_matches(family, FAMILIES, n=1)
    raise UnknownName(
        f"no tiny model of family {family!r}; expected one of {', '.join(FAMILIES)}",
        hint=f"{TINY_PREFIX}{close[0] if close else 'llama'}",
    )


def fill_randomly(parameter: nn.Parameter, generator: torch.Generator) -> None:
    """Draw matrices with unit gain; shift norm weights and biases a little off their start.

    The initialisation of training (std 0.02) would leave so small a model almost linear.
    """
    noise = torch.randn(parameter.shape, generator=generator)
    if parameter.dim() < 2:
        parameter.copy_(parameter.flatten()[0] + 0.1 * noise)
    else:
        parameter.copy_(noise / math.sqrt(_WIDTH))


def _config(family: str) -> Any:
    from transformers import AutoConfig

    tokenizer = tiny_tokenizer()
    shared = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    kind = {"gemma3": "gemma3_text"}.get(family, family)
    return AutoConfig.for_model(kind, **shared, **_sizes(family))


def _sizes(family: str) -> dict[str, Any]:
    if family == "gpt2":
        return {"n_embd": _WIDTH, "n_layer": _LAYERS, "n_head": _HEADS, "n_positions": _POSITIONS}
    sizes = {
        "hidden_size": _WIDTH,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "max_position_embeddings": _POSITIONS,
    }
    if family == "opt":
        return {**sizes, "ffn_dim": 2 * _WIDTH, "word_embed_proj_dim": _WIDTH}
    sizes["intermediate_size"] = 2 * _WIDTH
    if family == "gpt_neox":
        return sizes
    return {
        **sizes,
        "num_key_value_heads": _KEY_VALUE_HEADS,
        "head_dim": _WIDTH // _HEADS,
        **_EXTRA.get(family, {}),
    }


_EXTRA: dict[str, dict[str, Any]] = {
    "gemma2": {"query_pre_attn_scalar": 8, "sliding_window": 16},
    "gemma3": {"query_pre_attn_scalar": 8, "sliding_window": 16},
}
