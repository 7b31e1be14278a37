"""The methods of capturing every layer's residual stream whose costs are compared."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import BadOption
from workbench.model.backend import Backend, Inputs, Wanted
from workbench.model.backends.twin import twin
from workbench.model.model import Model
from workbench.model.sites import Kind, every_layer
from workbench.model.tokens import Tokens, pad
from workbench.model.wrap import make_backend

CaptureMethod = Callable[[Tokens], Tensor | None]

CAPTURE_METHODS = (
    "plain",
    "hooks",
    "hooks, no logits",
    "hooks, eager attention",
    "output_hidden_states",
    "TransformerBridge cache",
    "nnsight trace",
)


def capture_method(name: str, model: Model) -> CaptureMethod:
    """Return a function that runs a batch, keeps what was read, and returns the logits.

    Raises:
        BadOption: there is no such method.
    """
    module = model.backend.module
    if name == "plain":
        return _plain(twin(module))
    if name == "output_hidden_states":
        return _plain(twin(module), output_hidden_states=True)
    if name == "hooks":
        return _reading(model, make_backend("hooks", module, model.tokenizer), "all")
    if name == "hooks, no logits":
        return _reading(model, make_backend("hooks", module, model.tokenizer), "none")
    if name == "hooks, eager attention":
        return _reading(model, make_backend("hooks", _eager(module), model.tokenizer), "all")
    if name == "nnsight trace":
        return _reading(model, make_backend("nnsight", module, model.tokenizer), "all")
    if name == "TransformerBridge cache":
        return _bridge(make_backend("transformer-lens", module, model.tokenizer))
    raise BadOption(
        f"{name!r} is not a capture method; expected one of {', '.join(CAPTURE_METHODS)}"
    )


def random_tokens(model: Model, *, batch: int, length: int) -> Tokens:
    """Return a batch of random token ids, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(model.spec.d_vocab, (batch, length), generator=generator)
    return pad(ids.tolist()).to(model.device)


def _eager(module: nn.Module) -> Any:
    switched = twin(module)
    switched.set_attn_implementation("eager")
    return switched


def _plain(module: Any, **options: Any) -> CaptureMethod:
    def run(tokens: Tokens) -> Tensor | None:
        with torch.no_grad():
            kept = module(tokens.ids, use_cache=False, **options)
        logits: Tensor = kept.logits
        return logits

    return run


def _reading(model: Model, backend: Backend, logits: Wanted) -> CaptureMethod:
    read = every_layer(Kind.RESID_POST, model.spec)

    def run(tokens: Tokens) -> Tensor | None:
        inputs = Inputs(ids=tokens.ids, mask=tokens.mask, position_ids=tokens.position_ids)
        with torch.no_grad():
            kept = backend.forward(inputs, read=read, edits=(), logits=logits)
        return kept.logits

    return run


def _bridge(backend: Any) -> CaptureMethod:
    def wanted(name: str) -> bool:
        return name.endswith("hook_resid_post")

    def run(tokens: Tokens) -> Tensor | None:
        with torch.no_grad():
            logits, kept = backend.bridge.run_with_cache(
                tokens.ids, names_filter=wanted, use_cache=False
            )
        del kept
        found: Tensor = logits
        return found

    return run
