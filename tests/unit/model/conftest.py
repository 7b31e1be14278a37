"""Model folders and files, made on the spot."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from torch import nn

from workbench.model.tiny import tiny_module
from workbench.model.tiny_tokenizer import tiny_tokenizer

Saved = Callable[..., Path]
_GGUF_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_ENDS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Saved:
    """Save a tiny random model as a transformers folder, with changes to its config."""

    def save(family: str = "llama", **changes: Any) -> Path:
        folder = tmp_path / f"saved-{family}"
        tiny_module(family).save_pretrained(folder)  # type: ignore[operator]
        tiny_tokenizer().save_pretrained(folder)
        if changes:
            path = folder / "config.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
        return folder

    return save


@pytest.fixture
def llama_gguf(tmp_path: Path) -> tuple[Path, nn.Module]:
    """Write a tiny Llama as an unquantised GGUF file; return it with the model it came from."""
    return write_gguf(tmp_path)


def write_gguf(tmp_path: Path, *, more_tokens: int = 0) -> tuple[Path, nn.Module]:
    """Write the file; its vocabulary may have more tokens than the embedding has rows, or fewer."""
    module: Any = tiny_module("llama")
    path = tmp_path / "tiny-llama.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    _write_sizes(writer, module.config)
    _write_vocabulary(writer, module.config.vocab_size + more_tokens)
    for name, weight in module.state_dict().items():
        writer.add_tensor(_gguf_name(name), _as_llama_cpp(name, weight, module.config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path, module


def _write_sizes(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _write_vocabulary(writer: gguf.GGUFWriter, size: int) -> None:
    """A byte-level vocabulary: newline, space, digits, letters, and two merges."""
    tokens = ["<unk>", "<s>", "</s>", "Ċ", "Ġ", "ĊĊ", "ĠĠ", *"0123456789"]
    tokens += [chr(ord("a") + i) for i in range(26)]
    tokens += [f"<extra_{i}>" for i in range(size - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    special = {"<unk>", "<s>", "</s>"}
    writer.add_token_types(
        [gguf.TokenType.CONTROL if t in special else gguf.TokenType.NORMAL for t in tokens]
    )
    writer.add_token_merges(["Ċ Ċ", "Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def _gguf_name(name: str) -> str:
    if name in _ENDS:
        return _ENDS[name]
    _, _, layer, rest = name.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{_GGUF_NAMES[part]}.{kind}"


def _as_llama_cpp(name: str, weight: torch.Tensor, config: Any) -> np.ndarray:
    """Interleave the two halves of every rotary head, as llama.cpp stores them."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = next((n for part, n in heads.items() if part in name), None)
    if count is None:
        return weight.numpy()
    halves = weight.reshape(count, 2, -1, weight.shape[1])
    return halves.transpose(1, 2).reshape(weight.shape).contiguous().numpy()
