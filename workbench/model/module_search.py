"""Find the parts of a decoder that is not listed, by running it once on a few tokens."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import Unsupported
from workbench.model.patterns import watched_patterns
from workbench.model.points import Layout, ModulePaths, Point
from workbench.model.sites import Kind

_OUT = ("o_proj", "out_proj", "c_proj", "dense", "wo")
_QKV = {
    Kind.Q: ("q_norm", "q_layernorm", "q_proj", "wq"),
    Kind.K: ("k_norm", "k_layernorm", "k_proj", "wk"),
    Kind.V: ("v_norm", "v_proj", "wv"),
}

_Seen = dict[tuple[str, str], Tensor]


def has_module(module: nn.Module, path: str) -> bool:
    """Whether the model has a module at that path."""
    try:
        module.get_submodule(path)
    except AttributeError:
        return False
    return True


def search_paths(module: nn.Module) -> ModulePaths:
    """Find the residual stream of a model, then whatever adds up within its blocks.

    `attn_out` and `mlp_out` are modules whose outputs sum to the next state of the residual
    stream; kinds for which no module does are left out.

    Raises:
        Unsupported: no stack of blocks hands one residual stream from each to the next.
    """
    model: Any = module
    config = _text_config(model)
    layers = _layers(model, config.num_hidden_layers)
    names = {id(part): name for name, part in model.named_modules()}
    embed = names.get(id(model.get_input_embeddings()))
    head = names.get(id(model.get_output_embeddings()))
    norm = _last_norm(model, layers.rpartition(".")[0])
    if embed is None or head is None or norm is None:
        raise _unknown(model, "an embedding, a final norm and a head")
    n_layers = config.num_hidden_layers
    blocks = [f"{layers}.{i}" for i in range(n_layers)]
    inside = [name for name in names.values() if name.startswith(f"{blocks[0]}.")]
    seen = _watch(model, [*blocks, norm, *inside], config)
    _check_stream(model, seen, [*blocks, norm])
    block = _block(_within(seen, blocks[0]), config)
    if Kind.RESID_MID in block and not _goes_round(model, blocks[0], block, config):
        del block[Kind.RESID_MID]
    return ModulePaths(
        embed=embed, layers=layers, norm=norm, head=head, n_layers=n_layers, block=block
    )


def _text_config(model: Any) -> Any:
    config = getattr(model, "config", None)
    if config is None or not hasattr(model, "get_output_embeddings"):
        raise _unknown(model, "a causal language model of transformers")
    config = config.get_text_config(decoder=True)
    wanted = ("num_hidden_layers", "num_attention_heads", "hidden_size")
    if any(getattr(config, name, None) is None for name in wanted):
        raise _unknown(model, f"a configuration with {', '.join(wanted)}")
    return config


def _unknown(model: Any, expected: str) -> Unsupported:
    return Unsupported(
        f"the parts of {type(model).__name__} cannot be found; expected {expected}",
        hint="load a decoder-only model such as GPT-2, GPT-NeoX, Llama, Qwen, Gemma or OPT",
    )


def _layers(model: Any, n_layers: int) -> str:
    for name, part in model.named_modules():
        if isinstance(part, nn.ModuleList) and len(part) == n_layers and "vision" not in name:
            return str(name)
    raise _unknown(model, f"a list of {n_layers} blocks")


def _last_norm(model: Any, parent: str) -> str | None:
    names = [name for name, _ in model.get_submodule(parent).named_children()]
    norms = [name for name in names if "norm" in name or name.startswith("ln")]
    return f"{parent}.{norms[-1]}".lstrip(".") if norms else None


def _watch(model: Any, paths: Sequence[str], config: Any) -> _Seen:
    seen: _Seen = {}
    calls: Counter[str] = Counter()
    with ExitStack() as stack:
        for path in paths:
            for handle in _listen(model.get_submodule(path), path, seen, calls):
                stack.enter_context(handle)
        # Where attention cannot be switched there are no patterns; the rest is found all the same.
        with suppress(Unsupported):
            shown = {model.get_submodule(path): _as_it_is for path in paths if "att" in path}
            stack.enter_context(watched_patterns(model, shown))
        _run(model, config)
    return {key: x for key, x in seen.items() if calls[key[0]] == 1}


def _as_it_is(pattern: Tensor) -> Tensor:
    return pattern


def _run(model: Any, config: Any) -> None:
    # More tokens than heads, so that the two axes cannot be confused.
    ids = torch.arange(2, 3 + config.num_attention_heads, device=model.device)[None]
    try:
        with torch.no_grad():
            model(input_ids=ids % config.vocab_size, use_cache=False)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _unknown(model, "a model that runs on token ids alone") from error


def _listen(part: nn.Module, path: str, seen: _Seen, calls: Counter[str]) -> Iterator[Any]:
    def before(_: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        calls[path] += 1
        first = args[0] if args else kwargs.get("hidden_states")
        if isinstance(first, Tensor):
            seen[path, "input"] = first

    def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        found = (output,) if isinstance(output, Tensor) else output
        if isinstance(found, tuple):
            for side, x in zip(("output", "pattern"), found, strict=False):
                if isinstance(x, Tensor):
                    seen[path, side] = x

    yield part.register_forward_pre_hook(before, with_kwargs=True)
    yield part.register_forward_hook(after)


def _check_stream(model: Any, seen: _Seen, stations: list[str]) -> None:
    for here, there in pairwise(stations):
        out, into = seen.get((here, "output")), seen.get((there, "input"))
        if out is None or into is None or not torch.equal(out, into):
            raise _unknown(model, f"{here} to hand its output on unchanged to {there}")


def _goes_round(model: Any, path: str, block: Mapping[Kind, Point], config: Any) -> bool:
    """Whether a change made in the tensor at `resid_mid` also goes round the feed-forward part."""
    mid, out = block[Kind.RESID_MID].path, block[Kind.MLP_OUT].path

    def shift(_: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        (args[0] if args else kwargs["hidden_states"]).add_(1.0)

    with model.get_submodule(f"{path}.{mid}").register_forward_pre_hook(shift, with_kwargs=True):
        seen = _within(_watch(model, [path, f"{path}.{mid}", f"{path}.{out}"], config), path)
    return _equal(seen[mid, "input"] + seen[out, "output"], seen["", "output"])


def _within(seen: _Seen, block: str) -> _Seen:
    return {
        (path.removeprefix(block).lstrip("."), side): x
        for (path, side), x in seen.items()
        if path == block or path.startswith(f"{block}.")
    }


def _block(seen: _Seen, config: Any) -> dict[Kind, Point]:
    found = {Kind.RESID_PRE: Point("", "input"), Kind.RESID_POST: Point("", "output")}
    found |= _summands(seen) | _heads(seen, config)
    order = list(seen)

    def turn(kind: Kind) -> int:
        point = found[kind]
        return order.index((point.path, "pattern" if kind is Kind.ATTN_PATTERN else point.side))

    return {kind: found[kind] for kind in sorted(found, key=turn)}


def _summands(seen: _Seen) -> dict[Kind, Point]:
    pre, post = seen["", "input"], seen["", "output"]
    fitting = {key: x for key, x in seen.items() if key[0] and x.shape == pre.shape}
    outputs = [path for path, side in fitting if side == "output"]
    outputs.sort(key=lambda path: path.count("."))
    inputs = [path for path, side in fitting if side == "input"]
    for first in outputs:
        for mid in (
            path for path in inputs if _equal(pre + seen[first, "output"], seen[path, "input"])
        ):
            for second in outputs:
                if _equal(seen[mid, "input"] + seen[second, "output"], post):
                    return {
                        Kind.ATTN_OUT: Point(first, "output"),
                        Kind.RESID_MID: Point(mid, "input", shared=True),
                        Kind.MLP_OUT: Point(second, "output"),
                    }
    return _parallel(seen, [path for path in outputs if "." not in path])


def _parallel(seen: _Seen, outputs: list[str]) -> dict[Kind, Point]:
    pre, post = seen["", "input"], seen["", "output"]
    for first in (path for path in outputs if "att" in path):
        for second in (path for path in outputs if "att" not in path):
            if _equal(pre + seen[first, "output"] + seen[second, "output"], post):
                return {
                    Kind.ATTN_OUT: Point(first, "output"),
                    Kind.MLP_OUT: Point(second, "output"),
                }
    return {}


def _equal(a: Tensor, b: Tensor) -> bool:
    tolerance = 16 * torch.finfo(b.dtype).eps * float(b.abs().max())
    return float((a - b).abs().max()) <= tolerance


def _heads(seen: _Seen, config: Any) -> dict[Kind, Point]:
    n_heads = config.num_attention_heads
    d_head = getattr(config, "head_dim", None) or config.hidden_size // n_heads
    n_key_value = getattr(config, "num_key_value_heads", None) or n_heads
    outs = [p for p, side in seen if side == "input" and "att" in p and p.endswith(_OUT)]
    if len(outs) != 1:
        return {}
    attention = outs[0].rpartition(".")[0]
    found: dict[Kind, Point] = {}
    if seen[outs[0], "input"].shape[-1] == n_heads * d_head:
        found[Kind.Z] = Point(outs[0], "input", Layout.JOINED, n_heads, d_head)
    pattern = seen.get((attention, "pattern"))
    if pattern is not None and _is_pattern(pattern, n_heads):
        found[Kind.ATTN_PATTERN] = Point(attention, "output", Layout.PATTERN, n_heads, d_head)
    for kind, names in _QKV.items():
        paths = [
            f"{attention}.{name}" for name in names if (f"{attention}.{name}", "output") in seen
        ]
        n = n_heads if kind is Kind.Q else n_key_value
        layout = _layout(seen[paths[0], "output"], n, d_head) if paths else None
        if layout is not None:
            found[kind] = Point(paths[0], "output", layout, n, d_head)
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
