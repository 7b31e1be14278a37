"""Which hook points of a TransformerBridge hold which activation, found by running it once."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from workbench.errors import Unsupported
from workbench.model.backend import Inputs
from workbench.model.backends.one_pass import Caller, Pass
from workbench.model.comparison import across, largest_error
from workbench.model.points import HookPoint, Layout, ModulePaths
from workbench.model.sites import Kind

_HOOKS = {
    Kind.RESID_PRE: ("hook_in",),
    Kind.Q: ("attn.hook_q_normed", "attn.q.hook_out"),
    Kind.K: ("attn.hook_k_normed", "attn.k.hook_out"),
    Kind.V: ("attn.v.hook_out",),
    Kind.Z: ("attn.o.hook_in",),
    Kind.ATTN_PATTERN: ("attn.hook_pattern",),
    Kind.ATTN_OUT: ("ln1_post.hook_out", "attn.hook_out"),
    Kind.RESID_MID: ("ln2.hook_in",),
    Kind.MLP_OUT: ("ln2_post.hook_out", "mlp.hook_out"),
    Kind.RESID_POST: ("hook_out",),
}


def hook_points(
    call: Caller, bridge: Any, paths: ModulePaths, plain: Any
) -> dict[int, Mapping[Kind, HookPoint]]:
    """Return, layer by layer, the first hook point of each kind that fires once, and its layout.

    A bridge names hook points that its own forward pass never reaches; they are not offered.

    Raises:
        Unsupported: the bridge does not compute the logits of the plain model.
    """
    names = {
        f"blocks.{layer}.{name}"
        for layer in range(paths.n_layers)
        for kind in paths.in_layer(layer)
        for name in _HOOKS[kind]
    }
    seen = _run(call, bridge, sorted(names & set(bridge.hook_dict)), plain)
    return {
        layer: {
            kind: found
            for kind, point in paths.in_layer(layer).items()
            if (found := _first(kind, layer, point, seen)) is not None
        }
        for layer in range(paths.n_layers)
    }


def _run(call: Caller, bridge: Any, names: list[str], plain: Any) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    calls: Counter[str] = Counter()

    def keep(x: Any, hook: Any) -> None:
        calls[hook.name] += 1
        if isinstance(x, Tensor):
            seen[hook.name] = x

    # More positions than heads, so that the two axes cannot be confused.
    config = call.model.config.get_text_config(decoder=True)
    n_pos = 1 + config.num_attention_heads
    device = next(call.model.parameters()).device
    ids = torch.arange(2, 2 + n_pos, device=device)[None] % config.vocab_size
    inputs = Inputs(
        ids=ids,
        mask=torch.ones_like(ids, dtype=torch.bool),
        position_ids=torch.arange(n_pos, device=device)[None],
    )
    with torch.no_grad(), bridge.hooks(fwd_hooks=[(name, keep) for name in names]):
        logits = call("all", Pass(inputs, (), ()))
        wanted = plain(ids, use_cache=False).logits
    _check_logits(cast(Tensor, logits), wanted, type(plain).__name__)
    return {name: x for name, x in seen.items() if calls[name] == 1}


def _check_logits(found: Tensor, wanted: Tensor, name: str) -> None:
    error, allowed = largest_error(found, wanted), across(wanted.dtype)
    if error > allowed:
        raise Unsupported(
            f"TransformerLens computes other logits than transformers for {name}: relative error "
            f"{error:.2g}, allowed {allowed:.2g}",
            hint="use backend hooks or nnsight",
        )


def _first(
    kind: Kind, layer: int, point: HookPoint, seen: Mapping[str, Tensor]
) -> HookPoint | None:
    for name in (f"blocks.{layer}.{name}" for name in _HOOKS[kind]):
        if name not in seen:
            continue
        layout = _layout(kind, seen[name], point)
        if layout is not None:
            return replace(point, path=name, layout=layout, part=0)
    return None


def _layout(kind: Kind, x: Tensor, point: HookPoint) -> Layout | None:
    if not kind.has_heads or kind is Kind.ATTN_PATTERN:
        return point.layout
    width, n_heads = point.d_head, point.heads
    if x.dim() == 3 and x.shape[2] == n_heads * width:
        return Layout.JOINED
    if x.dim() == 4 and tuple(x.shape[2:]) == (n_heads, width):
        return Layout.SPLIT
    return Layout.HEADS_FIRST if x.dim() == 4 and x.shape[1::2] == (n_heads, width) else None
