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
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from workbench.errors import Unsupported
from workbench.model.sites import Kind, Site


class Layout(StrEnum):
    """How a module's tensor holds the activation."""

    WHOLE = "whole"
    JOINED = "joined"
    INTERLEAVED = "interleaved"
    SPLIT = "split"
    HEADS_FIRST = "heads_first"
    PATTERN = "pattern"


@dataclass(frozen=True)
class Point:
    """One side of one module, and how to see the activation in what passes there.

    `part` picks query, key or value out of a fused projection. With `shared`, the residual
    stream also goes round the module, so a change has to be made in the tensor itself.
    """

    path: str
    side: Literal["input", "output"]
    layout: Layout = Layout.WHOLE
    heads: int = 0
    d_head: int = 0
    part: int = 0
    shared: bool = False

    @property
    def element(self) -> int:
        """Which element holds the tensor when the module returns a tuple."""
        return 1 if self.layout is Layout.PATTERN else 0

    def view(self, raw: Float[Tensor, "*raw"], batch: int) -> Float[Tensor, "batch *shape"]:
        """Return the activation as a view of the module's tensor."""
        x = raw if raw.shape[0] == batch or raw.dim() > 2 else raw.unflatten(0, (batch, -1))
        if raw.dim() == 2 and raw.shape[0] == batch:
            x = raw.unflatten(0, (batch, -1))
        if self.layout is Layout.JOINED:
            width = self.heads * self.d_head
            x = x[..., self.part * width : (self.part + 1) * width]
            return x.unflatten(-1, (self.heads, self.d_head))
        if self.layout is Layout.INTERLEAVED:
            return x.unflatten(-1, (self.heads, 3, self.d_head))[..., self.part, :]
        return x.transpose(1, 2) if self.layout is Layout.HEADS_FIRST else x

    def write(
        self, raw: Float[Tensor, "*raw"], x: Float[Tensor, "batch *shape"]
    ) -> Float[Tensor, "*raw"]:
        """Return the module's tensor holding that activation instead."""
        changed = raw if self.shared else raw.clone()
        self.view(changed, x.shape[0]).copy_(x)
        return changed


@dataclass(frozen=True, kw_only=True)
class ModulePaths:
    """The module paths of one model.

    Block paths are relative to a layer, in the order in which a forward pass meets them.
    """

    embed: str
    layers: str
    norm: str
    head: str
    n_layers: int
    block: Mapping[Kind, Point]

    def supports(self, kind: Kind) -> bool:
        """Whether the architecture has such a place."""
        return not kind.has_layer or kind in self.block

    def point(self, site: Site) -> Point:
        """Return where that site is found.

        Raises:
            Unsupported: the architecture has no such place.
        """
        if site.kind is Kind.EMBED:
            return Point(self.embed, "output")
        if site.kind is Kind.FINAL_NORM:
            return Point(self.norm, "output")
        if site.kind is Kind.LOGITS:
            return Point(self.head, "output")
        if site.kind not in self.block:
            raise Unsupported(f"this architecture has no {site.kind}")
        point = self.block[site.kind]
        path = f"{self.layers}.{site.layer}.{point.path}".rstrip(".")
        return replace(point, path=path)

    def turn(self, site: Site) -> tuple[int, int]:
        """Return when a forward pass meets that site: the layer, and the turn within it."""
        if site.layer is None:
            return (-1, 0) if site.kind is Kind.EMBED else (self.n_layers, 0)
        return site.layer, list(self.block).index(site.kind)

    def without(self, kinds: Sequence[Kind]) -> "ModulePaths":
        """Return the same paths with some kinds left out."""
        return replace(self, block={k: p for k, p in self.block.items() if k not in kinds})


def find_paths(module: nn.Module) -> ModulePaths:
    """Return the paths of a causal language model from transformers.

    Raises:
        Unsupported: the architecture is not a decoder whose parts can be found.
    """
    config: Any = getattr(module, "config", None)
    family = _FAMILIES.get(getattr(config, "model_type", ""))
    if family is None:
        raise Unsupported(
            f"{type(module).__name__} is not an architecture the workbench knows; "
            f"expected one of {', '.join(sorted(_FAMILIES))}",
            hint="load a causal language model of one of these families",
        )
    paths = family(config)
    missing = [path for path in _every_path(paths) if not _has(module, path)]
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


def _has(module: nn.Module, path: str) -> bool:
    try:
        module.get_submodule(path)
    except AttributeError:
        return False
    return True


_QKV = {Kind.Q: "self_attn.q_proj", Kind.K: "self_attn.k_proj", Kind.V: "self_attn.v_proj"}
_NORMED_QK = {Kind.Q: "self_attn.q_norm", Kind.K: "self_attn.k_norm"}


def _fused(path: str) -> dict[Kind, str]:
    return dict.fromkeys((Kind.Q, Kind.K, Kind.V), path)


def _block(
    projections: Mapping[Kind, Point], *, attention: str, out: str, mid: str, outputs: Sequence[str]
) -> dict[Kind, Point]:
    attn_out, mlp_out = outputs
    return {
        Kind.RESID_PRE: Point("", "input"),
        **projections,
        Kind.Z: Point(f"{attention}.{out}", "input", Layout.JOINED),
        Kind.ATTN_PATTERN: Point(attention, "output", Layout.PATTERN),
        Kind.ATTN_OUT: Point(attn_out, "output"),
        Kind.RESID_MID: Point(mid, "input", shared=True),
        Kind.MLP_OUT: Point(mlp_out, "output"),
        Kind.RESID_POST: Point("", "output"),
    }


def _projections(paths: Mapping[Kind, str], layout: Layout) -> dict[Kind, Point]:
    fused = len(set(paths.values())) == 1
    return {
        kind: Point(path, "output", layout, part=i if fused else 0)
        for i, (kind, path) in enumerate(paths.items())
    }


def _with_heads(points: Mapping[Kind, Point], config: Any) -> dict[Kind, Point]:
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


def _gpt2(config: Any) -> ModulePaths:
    block = _block(
        _projections(_fused("attn.c_attn"), Layout.JOINED),
        attention="attn",
        out="c_proj",
        mid="ln_2",
        outputs=("attn", "mlp"),
    )
    return ModulePaths(
        embed="transformer.wte",
        layers="transformer.h",
        norm="transformer.ln_f",
        head="lm_head",
        n_layers=config.num_hidden_layers,
        block=_with_heads(block, config),
    )


def _gpt_neox(config: Any) -> ModulePaths:
    block = _block(
        _projections(_fused("attention.query_key_value"), Layout.INTERLEAVED),
        attention="attention",
        out="dense",
        mid="post_attention_layernorm",
        outputs=("attention", "mlp"),
    )
    paths = ModulePaths(
        embed="gpt_neox.embed_in",
        layers="gpt_neox.layers",
        norm="gpt_neox.final_layer_norm",
        head="lm_head",
        n_layers=config.num_hidden_layers,
        block=_with_heads(block, config),
    )
    return paths.without([Kind.RESID_MID]) if config.use_parallel_residual else paths


def _llama_like(config: Any, projections: Mapping[Kind, Point], **parts: Any) -> ModulePaths:
    usual = {"mid": "post_attention_layernorm", "outputs": ("self_attn", "mlp")}
    block = _block(projections, attention="self_attn", out="o_proj", **usual | parts)
    return ModulePaths(
        embed="model.embed_tokens",
        layers="model.layers",
        norm="model.norm",
        head="lm_head",
        n_layers=config.num_hidden_layers,
        block=_with_heads(block, config),
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
    return ModulePaths(
        embed="model.decoder.embed_tokens",
        layers="model.decoder.layers",
        norm="model.decoder.final_layer_norm",
        head="lm_head",
        n_layers=config.num_hidden_layers,
        block=_with_heads(block, config),
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
