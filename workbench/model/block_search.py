"""Find the places of one block in what passed through its modules."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.model.points import HookPoint, Layout
from workbench.model.sites import Kind

_OUT = ("o_proj", "out_proj", "c_proj", "dense", "wo")
_QKV = {
    Kind.Q: ("q_norm", "q_layernorm", "q_proj", "wq"),
    Kind.K: ("k_norm", "k_layernorm", "k_proj", "wk"),
    Kind.V: ("v_norm", "v_proj", "wv"),
}

Seen = dict[tuple[str, str], Tensor]


def within(seen: Seen, block: str) -> Seen:
    """Return what passed through one block, by paths relative to it."""
    return {
        (path.removeprefix(block).lstrip("."), side): x
        for (path, side), x in seen.items()
        if path == block or path.startswith(f"{block}.")
    }


def block_points(seen: Seen, config: Any, attention: Sequence[str]) -> dict[Kind, HookPoint]:
    """Return the places of one block in the order in which a forward pass meets them.

    `attention` are the paths of the block's attention modules. A block without any, as in a
    hybrid model, has no `attn_out`, whatever its mixer adds.
    """
    found = {Kind.RESID_PRE: HookPoint("", "input"), Kind.RESID_POST: HookPoint("", "output")}
    found |= _summands(seen) | _heads(seen, config, attention)
    if not attention:
        found.pop(Kind.ATTN_OUT, None)
    order = list(seen)

    def turn(kind: Kind) -> int:
        point = found[kind]
        return order.index((point.path, "pattern" if kind is Kind.ATTN_PATTERN else point.side))

    return {kind: found[kind] for kind in sorted(found, key=turn)}


def adds_up(parts: Sequence[Tensor], total: Tensor) -> bool:
    """Whether the parts sum to the total, each entry to within the rounding of its summands."""
    size = sum((part.abs() for part in parts), total.abs())
    gap = (sum(parts[1:], parts[0]) - total).abs()
    return bool((gap <= 4 * torch.finfo(total.dtype).eps * size).all())


def _summands(seen: Seen) -> dict[Kind, HookPoint]:
    pre, post = seen["", "input"], seen["", "output"]
    fitting = {key: x for key, x in seen.items() if key[0] and x.shape == pre.shape}
    outputs = [path for path, side in fitting if side == "output"]
    outputs.sort(key=lambda path: path.count("."))
    inputs = [path for path, side in fitting if side == "input"]
    for first in outputs:
        added = seen[first, "output"]
        for mid in (path for path in inputs if adds_up([pre, added], seen[path, "input"])):
            for second in outputs:
                if adds_up([seen[mid, "input"], seen[second, "output"]], post):
                    return {
                        Kind.ATTN_OUT: HookPoint(first, "output"),
                        Kind.RESID_MID: HookPoint(mid, "input", shared=True),
                        Kind.MLP_OUT: HookPoint(second, "output"),
                    }
    return _parallel(seen, [path for path in outputs if "." not in path])


def _parallel(seen: Seen, outputs: list[str]) -> dict[Kind, HookPoint]:
    pre, post = seen["", "input"], seen["", "output"]
    for first in (path for path in outputs if "att" in path):
        for second in (path for path in outputs if "att" not in path):
            if adds_up([pre, seen[first, "output"], seen[second, "output"]], post):
                return {
                    Kind.ATTN_OUT: HookPoint(first, "output"),
                    Kind.MLP_OUT: HookPoint(second, "output"),
                }
    return {}


def _heads(seen: Seen, config: Any, attentions: Sequence[str]) -> dict[Kind, HookPoint]:
    n_heads = config.num_attention_heads
    d_head = getattr(config, "head_dim", None) or config.hidden_size // n_heads
    n_key_value = getattr(config, "num_key_value_heads", None) or n_heads
    outs = [
        path
        for path, side in seen
        if side == "input" and path.endswith(_OUT) and path.rpartition(".")[0] in attentions
    ]
    if len(outs) != 1:
        return {}
    attention = outs[0].rpartition(".")[0]
    found: dict[Kind, HookPoint] = {}
    if seen[outs[0], "input"].shape[-1] == n_heads * d_head:
        found[Kind.Z] = HookPoint(outs[0], "input", Layout.JOINED, n_heads, d_head)
    pattern = seen.get((attention, "pattern"))
    if pattern is not None and _is_pattern(pattern, n_heads):
        found[Kind.ATTN_PATTERN] = HookPoint(attention, "output", Layout.PATTERN, n_heads, d_head)
    for kind, names in _QKV.items():
        paths = [
            f"{attention}.{name}" for name in names if (f"{attention}.{name}", "output") in seen
        ]
        n = n_heads if kind is Kind.Q else n_key_value
        layout = _layout(seen[paths[0], "output"], n, d_head) if paths else None
        if layout is not None:
            found[kind] = HookPoint(paths[0], "output", layout, n, d_head)
    return found


def _is_pattern(x: Tensor, n_heads: int) -> bool:
    square = x.dim() == 4 and x.shape[1] == n_heads and x.shape[2] == x.shape[3]
    return square and bool((x.float().sum(dim=-1) - 1).abs().max() < 0.01)


def _layout(x: Tensor, n: int, d_head: int) -> Layout | None:
    n_pos = x.shape[1] if x.dim() == 3 else 0
    shapes = {
        (1, n_pos, n * d_head): Layout.JOINED,
        (1, x.shape[1], n, d_head): Layout.SPLIT,
        (1, n, x.shape[2], d_head): Layout.HEADS_FIRST,
    }
    return shapes.get(tuple(x.shape))
