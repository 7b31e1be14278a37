"""Weight-sharing copies of a model: hooks on one are not seen by another."""

import copy
from functools import cache
from typing import Any, cast

from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.model.points import ModulePaths


def twin(module: nn.Module) -> Any:
    """Return a copy of the model that shares every weight and nothing else.

    Weights that accelerate keeps in host memory or on disk are shared as well.
    """
    return copy.deepcopy(module, _shared(module)).eval()


def _shared(module: nn.Module) -> dict[int, Any]:
    kept: list[Any] = list(module.parameters())
    for part in module.modules():
        hook = getattr(part, "_hf_hook", None)
        for one in getattr(hook, "hooks", (hook,)):
            kept += [getattr(one, name, None) for name in ("weights_map", "tied_params_map")]
    return {id(one): one for one in kept if one is not None}


class Ends:
    """The two ends of a model without its blocks: token embedding, final norm and head.

    They carry no hooks, so they may be used while the model itself runs in another thread.
    """

    def __init__(self, module: nn.Module, paths: ModulePaths) -> None:
        """Copy the ends, sharing their weights."""
        self._embed = twin(module.get_submodule(paths.embed))
        self._norm = twin(module.get_submodule(paths.norm))
        self._lm = _without_blocks(module, paths)
        self._head = self._lm.get_submodule(paths.head)

    def embed(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        """Look token ids up in the input embedding."""
        return cast(Tensor, self._embed(_beside(self._embed, ids)))

    def unembed(
        self, h: Float[Tensor, "*batch d_model"], *, normed: bool
    ) -> Float[Tensor, "*batch d_vocab"]:
        """Map states to logits with the model's own head, soft caps and scales included."""
        states = h.reshape(1, -1, h.shape[-1]).to(self._lm.dtype)
        if not normed:
            states = self._norm(_beside(self._norm, states))
        logits = self._lm(inputs_embeds=_beside(self._head, states)).logits
        return cast(Tensor, logits.reshape(*h.shape[:-1], logits.shape[-1]))


@cache
def _output() -> type[Any]:
    """Return the type of output that lacks nothing a language model may look for in it."""
    from transformers.modeling_outputs import BaseModelOutputWithPast

    class States(BaseModelOutputWithPast):
        def __getattr__(self, name: str) -> None:
            if name.startswith("_"):
                raise AttributeError(name)

    return States


class _Given(nn.Module):
    """Stands where the blocks were and returns the vectors it is given.

    The numbers kept beside the blocks stay, because a head may scale its logits by one of them.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        plain = (bool, int, float, str)
        for name, value in vars(body).items():
            if isinstance(value, plain) and not hasattr(self, name):
                setattr(self, name, value)

    def forward(self, *_: object, inputs_embeds: Tensor, **__: object) -> Any:
        # Set later, because the library declares a type that only float32 on a processor has.
        states = _output()()
        states["last_hidden_state"] = inputs_embeds
        return states


def _without_blocks(module: Any, paths: ModulePaths) -> Any:
    body = module.get_submodule(paths.layers.partition(".")[0])
    given = _Given(body)
    given.decoder = _Given(body)  # OPT calls its decoder past the model around it
    memo = _shared(module)
    memo[id(body)] = given
    return copy.deepcopy(module, memo).eval()


def _beside(module: nn.Module, x: Tensor) -> Tensor:
    weight = next(module.parameters(), None)
    return x if weight is None or weight.is_meta else x.to(weight.device)
