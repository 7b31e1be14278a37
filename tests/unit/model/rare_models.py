"""Tiny random models of architectures whose attention or state is out of the ordinary."""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from workbench.model.model import Model
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.wrap import wrap_model

WINDOW, LONG_WINDOW, SWITCH = 8, 100, 16
TEXT = (3, 9, 27, 11, 5, 8, 40, 31, 22, 17, 50, 33, 21, 14, 7, 28, 45, 12, 19)

_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
}
_GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_LATENT = {
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 12,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
_LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0, 6.0, 8.0, 10.0],
    "original_max_position_embeddings": SWITCH,
}
_SETTINGS: dict[str, dict[str, Any]] = {
    "mistral": {**_SIZES, "sliding_window": WINDOW},
    "phi3": {
        **_SIZES,
        "original_max_position_embeddings": SWITCH,
        "rope_parameters": _LONGROPE,
        "sliding_window": None,
    },
    "qwen2": {
        **_SIZES,
        "sliding_window": LONG_WINDOW,
        "use_sliding_window": True,
        "max_window_layers": 1,
    },
    "mixtral": {**_SIZES, **_EXPERTS, "sliding_window": WINDOW},
    "gpt_oss": {**_SIZES, **_EXPERTS, "sliding_window": WINDOW},
    "cohere2": {**_SIZES, "sliding_window": WINDOW},
    "deepseek_v3": {**_SIZES, **_LATENT},
    "gptj": {**_GPT, "rotary_dim": 4},
    "gpt_neo": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "max_position_embeddings": 128,
        "window_size": WINDOW,
        "attention_types": [[["global", "local"], 1]],
    },
    "diffllama": _SIZES,
    "jamba": {
        **_SIZES,
        "num_experts": 2,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "mamba_d_state": 8,
        "mamba_dt_rank": 4,
        "use_mamba_kernels": False,
    },
    "falcon_h1": {
        **_SIZES,
        "mamba_d_ssm": 64,
        "mamba_d_state": 8,
        "mamba_n_heads": 4,
        "mamba_d_head": 16,
        "mamba_n_groups": 1,
        "mamba_chunk_size": 8,
    },
    "lfm2": {
        **_SIZES,
        "layer_types": ["conv", "full_attention"],
        "block_auto_adjust_ff_dim": False,
    },
    "minimax": {
        **_SIZES,
        **_EXPERTS,
        "layer_types": ["linear_attention", "full_attention"],
        "block_size": 8,
    },
    "qwen3_next": {
        **_SIZES,
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
    },
    "recurrent_gemma": {
        **_SIZES,
        "lru_width": 32,
        "attention_window_size": WINDOW,
        "block_types": ["recurrent", "attention"],
    },
    "llama": {
        **_SIZES,
        "max_position_embeddings": SWITCH,
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0},
    },
}


@cache
def rare_model(kind: str) -> Model:
    """Build one model of that `model_type`; shared, so read-only."""
    tokenizer = tiny_tokenizer()
    known = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    config = AutoConfig.for_model(kind, **known, **_SETTINGS[kind])
    with torch.random.fork_rng(devices=[]):
        module = AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "conv" in name or (parameter.dim() >= 2 and not name.endswith("A_log")):
                parameter.copy_(0.8 * noise / math.sqrt(32))
    return wrap_model(module.eval(), tokenizer, name=kind)


@torch.no_grad()
def alone(model: Model, ids: Sequence[int]) -> Float[Tensor, "pos d_vocab"]:
    """Return the logits of one row run by itself, without a cache and without earlier texts."""
    if model.switch is not None:
        model.switch.forget()
    module: Any = model.backend.module
    found: Tensor = module(torch.tensor([list(ids)]), use_cache=False).logits[0]
    return found


def greedy(model: Model, ids: Sequence[int], n: int) -> tuple[tuple[int, ...], Tensor]:
    """Return n tokens by whole passes over one row, and the logits each was chosen from."""
    out: list[int] = []
    seen = []
    for _ in range(n):
        seen.append(alone(model, [*ids, *out])[-1])
        out.append(int(seen[-1].argmax()))
    return tuple(out), torch.stack(seen)
