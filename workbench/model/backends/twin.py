"""Weight-sharing copies of a model: hooks on one are not seen by another."""

import copy
from typing import Any, cast

from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from workbench.model.module_paths import ModulePaths


def twin(module: nn.Module) -> Any:
    """Return a copy of the model that shares every weight and nothing else.

    Weights that accelerate keeps in host memory or on disk are shared as well.
    """
    memo: dict[int, Any] = {id(p): p for p in module.parameters()}
    for part in module.modules():
        hook = getattr(part, "_hf_hook", None)
        for one in getattr(hook, "hooks", (hook,)):
            for name in ("weights_map", "tied_params_map"):
                kept = getattr(one, name, None)
                if kept is not None:
                    memo[id(kept)] = kept
    return copy.deepcopy(module, memo).eval()


class _Given(nn.Module):
    """Stands where the transformer was and returns the vectors it is given."""

    def forward(
        self, *_: object, inputs_embeds: Tensor, **__: object
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=cast(Any, inputs_embeds))


class Ends:
    """The two ends of a model without its blocks: token embedding, final norm and head.

    They carry no hooks, so they may be used while the model itself runs in another thread.
    """

    def __init__(self, module: nn.Module, paths: ModulePaths) -> None:
        """Copy the ends, sharing their weights."""
        self._embed = twin(module.get_submodule(paths.embed))
        self._norm = twin(module.get_submodule(paths.norm))
        self._head = self._without_blocks(module)

    @staticmethod
    def _without_blocks(module: Any) -> Any:
        prefix = module.base_model_prefix
        given = _Given()
        given.decoder = _Given()
        memo = {id(p): p for p in module.parameters()}
        memo[id(getattr(module, prefix))] = given
        return copy.deepcopy(module, memo).eval()

    def embed(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        """Look token ids up in the input embedding."""
        return cast(Tensor, self._embed(ids.to(self._embed.weight.device)))

    def unembed(
        self, h: Float[Tensor, "*batch d_model"], *, normed: bool
    ) -> Float[Tensor, "*batch d_vocab"]:
        """Map states to logits with the model's own head, soft caps and scales included."""
        flat = h.reshape(1, -1, h.shape[-1]).to(self._head.lm_head.weight.dtype)
        states = flat if normed else self._norm(flat.to(self._norm.weight.device))
        logits = self._head(inputs_embeds=states.to(self._head.lm_head.weight.device)).logits
        return cast(Tensor, logits.reshape(*h.shape[:-1], -1))

