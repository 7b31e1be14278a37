"""Where each architecture keeps its parts.

`embed` is what the token-embedding module returns (Gemma's scaling included; GPT-2's and OPT's
position embeddings are added afterwards), `resid_pre.0` is what enters the first block.
`attn_out` and `mlp_out` are exactly what is added to the residual stream: in Gemma 2 and 3 that
is after the block's post-norms, elsewhere the output of the attention and feed-forward modules.
`q` and `k` are what the rotary embedding receives (after Qwen 3's and Gemma 3's per-head norms),
`v` is what attention averages, `z` the per-head average that enters the output projection.
`resid_mid` does not exist where attention and feed-forward run in parallel.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from workbench.errors import Unsupported
from workbench.model.module_search import has_module, search_paths
from workbench.model.points import HookPoint, Layout, ModulePaths
from workbench.model.sites import Kind, Site


def find_paths(module: nn.Module) -> ModulePaths:
    """Return the paths of a causal language model from transformers.

    Families that are not listed here are searched: the parts are found by running the model
    once on a few tokens, and only what adds up is offered.

    Raises:
        Unsupported: the architecture is not a decoder whose parts can be found.
    """
    config: Any = getattr(module, "config", None)
    family = _FAMILIES.get(getattr(config, "model_type", ""))
    if family is None:
        return search_paths(module)
    paths = family(config)
    missing = [path for path in _every_path(paths) if not has_module(module, path)]
    if missing:
        raise Unsupported(
            f"{type(module).__name__} lacks {', '.join(missing)}",
            hint="load the causal language model itself, not its base model or a wrapper",
        )
    return paths


def _every_path(paths: ModulePaths) -> Iterator[str]:
    yield from (paths.embed, paths.norm, paths.head)
    for kind in paths.block:
        yield paths.point(Site(kind, 0)).path


_QKV = {Kind.Q: "self_attn.q_proj", Kind.K: "self_attn.k_proj", Kind.V: "self_attn.v_proj"}
_NORMED_QK = {Kind.Q: "self_attn.q_norm", Kind.K: "self_attn.k_norm"}


def _fused(path: str) -> dict[Kind, str]:
    return dict.fromkeys((Kind.Q, Kind.K, Kind.V), path)


def _block(
    projections: Mapping[Kind, HookPoint],
    *,
    attention: str,
    out: str,
    mid: str,
    outputs: Sequence[str],
) -> dict[Kind, HookPoint]:
    attn_out, mlp_out = outputs
    return {
        Kind.RESID_PRE: HookPoint("", "input"),
        **projections,
        Kind.Z: HookPoint(f"{attention}.{out}", "input", Layout.JOINED),
        Kind.ATTN_PATTERN: HookPoint(attention, "output", Layout.PATTERN),
        Kind.ATTN_OUT: HookPoint(attn_out, "output"),
        Kind.RESID_MID: HookPoint(mid, "input", shared=True),
        Kind.MLP_OUT: HookPoint(mlp_out, "output"),
        Kind.RESID_POST: HookPoint("", "output"),
    }


def _projections(paths: Mapping[Kind, str], layout: Layout) -> dict[Kind, HookPoint]:
    fused = len(set(paths.values())) == 1
    return {
        kind: HookPoint(path, "output", layout, part=i if fused else 0)
        for i, (kind, path) in enumerate(paths.items())
    }


def _with_heads(points: Mapping[Kind, HookPoint], config: Any) -> dict[Kind, HookPoint]:
    n_heads = config.num_attention_heads
    n_key_value = getattr(config, "num_key_value_heads", None) or n_heads
    d_head = getattr(config, "head_dim", None) or config.hidden_size // n_heads
    return {
        kind: replace(
            point, heads=n_key_value if kind in (Kind.K, Kind.V) else n_heads, d_head=d_head
        )
        if kind.has_heads
        else point
        for kind, point in points.items()
    }


def _paths(
    config: Any, block: Mapping[Kind, HookPoint], *, embed: str, layers: str, norm: str
) -> ModulePaths:
    return ModulePaths(
        embed=embed,
        layers=layers,
        norm=norm,
        head="lm_head",
        n_layers=config.num_hidden_layers,
        block=_with_heads(block, config),
    )


def _gpt2(config: Any) -> ModulePaths:
    block = _block(
        _projections(_fused("attn.c_attn"), Layout.JOINED),
        attention="attn",
        out="c_proj",
        mid="ln_2",
        outputs=("attn", "mlp"),
    )
    return _paths(
        config, block, embed="transformer.wte", layers="transformer.h", norm="transformer.ln_f"
    )


def _gpt_neox(config: Any) -> ModulePaths:
    block = _block(
        _projections(_fused("attention.query_key_value"), Layout.INTERLEAVED),
        attention="attention",
        out="dense",
        mid="post_attention_layernorm",
        outputs=("attention", "mlp"),
    )
    paths = _paths(
        config,
        block,
        embed="gpt_neox.embed_in",
        layers="gpt_neox.layers",
        norm="gpt_neox.final_layer_norm",
    )
    return paths.without([Kind.RESID_MID]) if config.use_parallel_residual else paths


def _llama_like(config: Any, projections: Mapping[Kind, HookPoint], **parts: Any) -> ModulePaths:
    usual = {"mid": "post_attention_layernorm", "outputs": ("self_attn", "mlp")}
    block = _block(projections, attention="self_attn", out="o_proj", **usual | parts)
    return _paths(
        config, block, embed="model.embed_tokens", layers="model.layers", norm="model.norm"
    )


_POST_NORMS = {
    "mid": "pre_feedforward_layernorm",
    "outputs": ("post_attention_layernorm", "post_feedforward_layernorm"),
}


def _llama(config: Any) -> ModulePaths:
    return _llama_like(config, _projections(_QKV, Layout.JOINED))


def _qwen3(config: Any) -> ModulePaths:
    normed = _projections(_NORMED_QK, Layout.SPLIT)
    return _llama_like(config, _projections(_QKV, Layout.JOINED) | normed)


def _gemma2(config: Any) -> ModulePaths:
    return _llama_like(config, _projections(_QKV, Layout.JOINED), **_POST_NORMS)


def _gemma3(config: Any) -> ModulePaths:
    value = _projections(_QKV, Layout.JOINED)[Kind.V]
    normed = _projections(_NORMED_QK, Layout.HEADS_FIRST)
    return _llama_like(config, {Kind.V: value, **normed}, **_POST_NORMS)


def _opt(config: Any) -> ModulePaths:
    if not config.do_layer_norm_before or config.word_embed_proj_dim != config.hidden_size:
        raise Unsupported(
            "this OPT model normalises after each block or projects its embeddings",
            hint="every OPT size but 350m works",
        )
    block = _block(
        _projections(_QKV, Layout.JOINED),
        attention="self_attn",
        out="out_proj",
        mid="final_layer_norm",
        outputs=("self_attn", "fc2"),
    )
    return _paths(
        config,
        block,
        embed="model.decoder.embed_tokens",
        layers="model.decoder.layers",
        norm="model.decoder.final_layer_norm",
    )


_FAMILIES = {
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "llama": _llama,
    "mistral": _llama,
    "qwen2": _llama,
    "qwen3": _qwen3,
    "gemma": _llama,
    "gemma2": _gemma2,
    "gemma3_text": _gemma3,
    "opt": _opt,
}
