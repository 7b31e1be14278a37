"""Masked language models as scorers: how likely a text is where its tokens are hidden."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import ModelNotFound, Unsupported
from workbench.model.text_scorer import TextScorer, own_tokens

_ROWS = 32


class MaskedModel(TextScorer):
    """A masked language model with its tokenizer, which reads in both directions."""

    def __init__(self, module: Any, tokenizer: Any) -> None:
        """Join a model with its tokenizer.

        Raises:
            Unsupported: the tokenizer has no mask, or does not tell words and offsets.
        """
        if tokenizer.mask_token_id is None or not tokenizer.is_fast:
            raise Unsupported(
                "the tokenizer has no mask token, or does not tell words",
                hint="take a masked language model such as BERT, with a fast tokenizer",
            )
        self.module, self.tokenizer = module.eval(), tokenizer

    @classmethod
    def load(cls, name: str) -> "MaskedModel":
        """Load a masked model from a folder or by its id; only safetensors are read.

        Raises:
            ModelNotFound: there is none of that name.
        """
        from transformers import AutoModelForMaskedLM, AutoTokenizer

        try:
            module = AutoModelForMaskedLM.from_pretrained(name, use_safetensors=True)
            return cls(module, AutoTokenizer.from_pretrained(name))
        except (OSError, ValueError, KeyError) as error:
            said = str(error).splitlines()[0][:200]
            raise ModelNotFound(
                f"no masked language model {name!r}: {said}", hint="a folder or an id of the hub"
            ) from error

    def _scores(self, prompt: str, choice: str, *, sees_rest: bool) -> Float[Tensor, " token"]:
        row, own, words = own_tokens(self.tokenizer, prompt, choice)
        ids = torch.tensor(row, device=self.module.device)
        hidden = [
            [j for j in own if j >= i and (not sees_rest or words[j] == words[i])] for i in own
        ]
        found = list(self._at(ids, own, hidden))
        return torch.cat(found) if found else torch.zeros(0, dtype=torch.double)

    def _at(self, ids: Tensor, own: list[int], hidden: list[list[int]]) -> Iterator[Tensor]:
        for at in range(0, len(own), _ROWS):
            some = own[at : at + _ROWS]
            rows = ids.repeat(len(some), 1)
            for row, columns in enumerate(hidden[at : at + _ROWS]):
                rows[row, columns] = self.tokenizer.mask_token_id
            with torch.no_grad():
                logits = self.module(input_ids=rows).logits
            each = torch.arange(len(some))
            logp = logits[each, some].double().log_softmax(dim=-1)
            yield logp[each, ids[some]].cpu()
