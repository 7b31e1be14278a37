"""The ways of reaching inside a model, one module each, imported when asked for."""

from typing import Any

from torch import nn

from workbench.errors import UnknownName
from workbench.model.backend import Backend

BACKENDS = ("hooks", "transformer-lens", "nnsight")


def make_backend(name: str, module: nn.Module, tokenizer: Any) -> Backend:
    """Wrap a loaded model in the backend of that name, on its own weight-sharing twin.

    Raises:
        UnknownName: there is no such backend.
        Unsupported: the backend cannot hold this architecture.
    """
    if name == "hooks":
        from workbench.model.backends.torch_hooks import HooksBackend

        return HooksBackend(module, tokenizer)
    if name == "transformer-lens":
        from workbench.model.backends.tl_bridge import BridgeBackend

        return BridgeBackend(module, tokenizer)
    if name == "nnsight":
        from workbench.model.backends.nn_trace import NNsightBackend

        return NNsightBackend(module, tokenizer)
    raise UnknownName(
        f"{name!r} is not a backend; expected one of {', '.join(BACKENDS)}",
        hint="hooks is the default",
    )
