"""A loaded transformers model and its tokenizer, joined into a Model."""

from typing import Any

from torch import nn

from workbench.errors import BadOption, ModelError, Unsupported
from workbench.model.backend import Backend
from workbench.model.backends import BACKENDS
from workbench.model.hashing import tensors_hash
from workbench.model.model import Model
from workbench.model.spec import ModelSpec


def wrap_model(
    module: nn.Module,
    tokenizer: Any,
    *,
    name: str,
    backend: str = "hooks",
    weights_hash: str | None = None,
) -> Model:
    """Make a Model of a transformers model that is already in memory.

    The backend works on a copy that shares the weights, so hooks on `module` stay apart.

    Raises:
        BadOption: no backend of that name.
        ModelError: there is no tokenizer.
        Unsupported: the architecture is not one the backend knows.
    """
    if tokenizer is None:
        raise ModelError(f"{name} has no tokenizer", hint="pass the tokenizer it was trained with")
    reach = make_backend(backend, module, tokenizer)
    known = weights_hash or tensors_hash(module)
    spec = describe_model(module, name=name, backend=reach, weights_hash=known)
    return Model(spec=spec, tokenizer=tokenizer, backend=reach)


def check_backend(name: str) -> None:
    """Refuse a backend that does not exist.

    Raises:
        BadOption: no backend of that name.
    """
    if name not in BACKENDS:
        raise BadOption(f"backend is {name!r}; expected one of {', '.join(BACKENDS)}")


def make_backend(name: str, module: nn.Module, tokenizer: Any) -> Backend:
    """Build the backend of that name; its library is imported only now.

    Raises:
        BadOption: no backend of that name.
    """
    check_backend(name)
    if name == "transformer-lens":
        from workbench.model.backends.tl_bridge import BridgeBackend

        return BridgeBackend(module, tokenizer)
    if name == "nnsight":
        from workbench.model.backends.nn_trace import NNsightBackend

        return NNsightBackend(module, tokenizer)
    from workbench.model.backends.torch_hooks import HooksBackend

    return HooksBackend(module, tokenizer)


def describe_model(
    module: nn.Module, *, name: str, backend: Backend, weights_hash: str
) -> ModelSpec:
    """Write down the sizes and identity of a loaded model.

    Raises:
        Unsupported: its configuration lacks the sizes of a transformer.
    """
    config: Any = module.config.get_text_config(decoder=True)  # type: ignore[union-attr, operator]
    _check_sizes(config, name)
    d_model, n_heads = int(config.hidden_size), int(config.num_attention_heads)
    first = next(module.parameters())
    return ModelSpec(
        name=name,
        architecture=type(module).__name__,
        n_layers=int(config.num_hidden_layers),
        n_heads=n_heads,
        n_key_value_heads=int(_first(config, "num_key_value_heads") or n_heads),
        d_model=d_model,
        d_head=int(_first(config, "head_dim") or d_model // n_heads),
        d_mlp=int(_first(config, "intermediate_size", "ffn_dim", "n_inner") or 4 * d_model),
        d_vocab=int(config.vocab_size),
        n_parameters=sum(p.numel() for p in module.parameters()),
        max_positions=int(_first(config, *_LONGEST) or UNBOUNDED),
        backend=backend.name,
        device=_device(module),
        dtype=str(first.dtype).removeprefix("torch."),
        attention=_attention(backend, config),
        weights_hash=weights_hash,
    )


_SIZES = (
    "hidden_size",
    "num_attention_heads",
    "num_hidden_layers",
    "vocab_size",
)
_LONGEST = ("max_position_embeddings", "max_seq_len")
UNBOUNDED = 1 << 20  # what a text may hold where positions are no table and nothing bounds them


def _check_sizes(config: Any, name: str) -> None:
    missing = [size for size in _SIZES if getattr(config, size, None) is None]
    if missing:
        raise Unsupported(
            f"the configuration of {name} ({config.model_type}) has no {', '.join(missing)}",
            hint="the workbench runs decoders with attention",
        )


def _first(config: Any, *names: str) -> Any:
    return next((found for n in names if (found := getattr(config, n, None)) is not None), None)


def _device(module: Any) -> str:
    spread = getattr(module, "hf_device_map", None)
    if spread:
        return ",".join(sorted({str(device) for device in spread.values()}))
    return str(next(module.parameters()).device)


def _attention(backend: Backend, config: Any) -> str:
    inner = getattr(getattr(backend, "module", None), "config", None) or config
    return str(getattr(inner, "_attn_implementation", None) or config._attn_implementation)
