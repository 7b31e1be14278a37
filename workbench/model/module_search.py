"""Find the parts of a decoder that is not listed, by running it once on a few tokens."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import Unsupported, WorkbenchError
from workbench.model.block_search import Seen, adds_up, block_points, within
from workbench.model.patterns import watched_patterns
from workbench.model.points import HookPoint, ModulePaths
from workbench.model.sites import Kind


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
    inside = [name for name in names.values() if name.startswith(f"{layers}.")]
    seen = _watch(model, list(dict.fromkeys([*blocks, norm, *inside])), config)
    _check_stream(model, seen, [*blocks, norm])
    found = [
        block_points(within(seen, block), config, _attentions(model, block)) for block in blocks
    ]
    found = _without_detours(model, blocks, found, config)
    return ModulePaths(
        embed=embed,
        layers=layers,
        norm=norm,
        head=head,
        n_layers=n_layers,
        block=found[0],
        differing={i: block for i, block in enumerate(found) if block != found[0]},
    )


def _text_config(model: Any) -> Any:
    config = getattr(model, "config", None)
    if config is None or not hasattr(model, "get_output_embeddings"):
        raise _unknown(model, "a causal language model of transformers")
    config = config.get_text_config(decoder=True)
    wanted = ("num_hidden_layers", "num_attention_heads", "hidden_size")
    missing = [name for name in wanted if getattr(config, name, None) is None]
    if missing == ["num_attention_heads"]:
        raise _unknown(model, "attention, and a recurrent or state-space model has no heads")
    if missing:
        raise _unknown(model, f"a configuration with {', '.join(missing)}")
    return config


def _unknown(model: Any, expected: str) -> Unsupported:
    return Unsupported(
        f"the parts of {type(model).__name__} cannot be found; expected {expected}",
        hint="load a decoder-only model such as GPT-2, GPT-NeoX, Llama, Qwen, Gemma or OPT",
    )


def _attentions(model: Any, block: str) -> list[str]:
    """Return the paths, relative to a block, of the modules in it that are attention."""
    return [
        name
        for name, part in model.get_submodule(block).named_modules()
        if "attention" in type(part).__name__.lower() and name
    ]


def _layers(model: Any, n_layers: int) -> str:
    for name, part in model.named_modules():
        if isinstance(part, nn.ModuleList) and len(part) == n_layers and "vision" not in name:
            return str(name)
    raise _unknown(model, f"a list of {n_layers} blocks")


def _last_norm(model: Any, parent: str) -> str | None:
    names = [name for name, _ in model.get_submodule(parent).named_children()]
    norms = [name for name in names if "norm" in name or name.startswith("ln")]
    return f"{parent}.{norms[-1]}".lstrip(".") if norms else None


def _watch(model: Any, paths: Sequence[str], config: Any) -> Seen:
    seen: Seen = {}
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
    except WorkbenchError:
        raise
    except Exception as error:  # a model nobody has seen may fail in any way
        raise _unknown(model, "a model that runs on token ids alone") from error


def _listen(part: nn.Module, path: str, seen: Seen, calls: Counter[str]) -> Iterator[Any]:
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


def _check_stream(model: Any, seen: Seen, stations: list[str]) -> None:
    for here, there in pairwise(stations):
        out, into = seen.get((here, "output")), seen.get((there, "input"))
        if out is None or into is None or not _same(out, into):
            raise _unknown(model, f"{here} to hand its output on unchanged to {there}")


def _same(out: Tensor, into: Tensor) -> bool:
    # A stream that overflowed is handed on all the same.
    return out.shape == into.shape and torch.equal(out.nan_to_num(), into.nan_to_num())


def _without_detours(
    model: Any, blocks: Sequence[str], found: list[dict[Kind, HookPoint]], config: Any
) -> list[dict[Kind, HookPoint]]:
    """Leave `resid_mid` out where a change made there does not reach the end of the block."""
    reaches: dict[tuple[str, str], bool] = {}
    for path, block in zip(blocks, found, strict=True):
        if Kind.RESID_MID not in block:
            continue
        parts = block[Kind.RESID_MID].path, block[Kind.MLP_OUT].path
        if parts not in reaches:
            reaches[parts] = _goes_round(model, path, block, config)
        if not reaches[parts]:
            del block[Kind.RESID_MID]
    return found


def _goes_round(model: Any, path: str, block: Mapping[Kind, HookPoint], config: Any) -> bool:
    """Whether a change made in the tensor at `resid_mid` also goes round the feed-forward part."""
    mid, out = block[Kind.RESID_MID].path, block[Kind.MLP_OUT].path

    def shift(_: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        (args[0] if args else kwargs["hidden_states"]).add_(1.0)

    with model.get_submodule(f"{path}.{mid}").register_forward_pre_hook(shift, with_kwargs=True):
        seen = within(_watch(model, [path, f"{path}.{mid}", f"{path}.{out}"], config), path)
    return adds_up([seen[mid, "input"], seen[out, "output"]], seen["", "output"])
