"""Masked language models that fill in hidden tokens: all positions see one another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.errors import ModelNotFound, Unsupported
from workbench.model.finite import see_states
from workbench.model.loading import load_model
from workbench.model.masked import MaskedModel
from workbench.model.model import Model
from workbench.model.shipped import shipped_part

MASKED = "masked"
"""Where a recipe's masked network lies in its folder."""
_KEYS = {"k_proj": "v_proj", "key": "value", "k_lin": "v_lin"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What a denoiser says of every position; `states` begin with what enters the first block."""

    logits: Float[Tensor, "batch pos d_vocab"]
    states: tuple[Float[Tensor, "batch pos d_model"], ...]


class Denoiser:
    """A network with a mask token, run with attention in both directions.

    That is a masked language model from transformers (BERT and its kin), or a decoder that was
    trained to fill in a mask token (LLaDA and its kin).
    """

    def __init__(self, module: Any, tokenizer: Any, *, name: str) -> None:
        """Join a network with its tokenizer.

        Raises:
            Unsupported: the tokenizer has no mask token.
        """
        if getattr(tokenizer, "mask_token_id", None) is None:
            raise Unsupported(
                f"the tokenizer of {name} has no mask token, so nothing can be hidden",
                hint="--network diffusion-sums, or the folder of a masked language model",
            )
        self.module, self.tokenizer, self.name = module.eval(), tokenizer, name
        self.mask_id = int(tokenizer.mask_token_id)

    @classmethod
    def of(cls, model: Model) -> "Denoiser":
        """Run a loaded model in both directions.

        Raises:
            Unsupported: its tokenizer has no mask token.
        """
        return cls(model.backend.module, model.tokenizer, name=model.spec.name)

    @classmethod
    def load(cls, name: str) -> "Denoiser":
        """Load a network that ships or was trained here, or one from a folder or by its id.

        Raises:
            ModelNotFound: there is none of that name.
            Unsupported: its tokenizer has no mask token.
        """
        beside = Path(name).expanduser() / MASKED
        folder = beside if beside.is_dir() else shipped_part(name, MASKED)
        try:
            found = MaskedModel.load(str(folder or name))
        except ModelNotFound:
            return cls.of(load_model(name))
        return cls(found.module, found.tokenizer, name=str(folder.parent if folder else name))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        found: torch.device = next(self.module.parameters()).device
        return found

    @torch.no_grad()
    def predict(self, ids: Int[Tensor, "batch pos"]) -> Prediction:
        """Run rows of one length; the mask token itself is never predicted."""
        found = run_both_ways(self.module, ids.to(self.device), states=True)
        see_states(found.logits, model=self.name)
        logits = found.logits.float()
        logits[..., self.mask_id] = -torch.inf
        return Prediction(logits=logits, states=tuple(found.hidden_states))

    @property
    def keys_and_values(self) -> tuple[tuple[nn.Module, nn.Module], ...]:
        """The projections to keys and to values, layer by layer; none where they are fused."""
        known = dict(self.module.named_modules())
        pairs = ((name, *name.rpartition(".")[::2]) for name in known)
        return tuple(
            (known[name], known[f"{parent}.{_KEYS[last]}"])
            for name, parent, last in pairs
            if f"{parent}.{_KEYS.get(last)}" in known
        )


def run_both_ways(module: Any, ids: Int[Tensor, "batch pos"], *, states: bool = False) -> Any:
    """Run a transformers model with every position in sight of every other."""
    n, width = ids.shape
    # The library hands a mask of four axes on as it is; one that adds nothing hides nothing.
    mask = torch.zeros((n, 1, width, width), dtype=module.dtype, device=ids.device)
    return module(input_ids=ids, attention_mask=mask, output_hidden_states=states)
