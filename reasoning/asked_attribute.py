"""A classifier of unfinished texts that needs no training: the model is asked about them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import DataError
from workbench.model.backend import Inputs
from workbench.model.model import Model
from workbench.model.policy import Host
from workbench.model.tokens import pad, token_ids


@dataclass(frozen=True, kw_only=True)
class AskedAttribute:
    """Say how likely a text has an attribute: p of one answer beside p of the other.

    The question follows the text; answers are the first tokens `toward` and `against`.
    """

    question: tuple[int, ...]
    toward: int
    against: int

    @classmethod
    def of(cls, model: Model, *, question: str, toward: str, against: str) -> "AskedAttribute":
        """Take question and answers as text.

        Raises:
            DataError: both answers begin with the same token, or one of them is empty.
        """
        ids = [
            tuple(token_ids(model.tokenizer, text, special_tokens=False))
            for text in (question, toward, against)
        ]
        if not all(ids) or ids[1][0] == ids[2][0]:
            raise DataError(
                f"{toward!r} and {against!r} behind {question!r} begin with the same token",
                hint="answers that begin differently, such as ' yes' and ' no'",
            )
        return cls(question=ids[0], toward=ids[1][0], against=ids[2][0])

    def __call__(self, model: Host, texts: Sequence[Sequence[int]]) -> Float[Tensor, " text"]:
        """Return log p(attribute | text) in nats."""
        tokens = pad([[*text, *self.question] for text in texts], side="left").to(model.device)
        inputs = Inputs(ids=tokens.ids, mask=tokens.mask, position_ids=tokens.position_ids)
        with torch.no_grad():
            logits = model.forward(inputs, logits="last").logits
        if logits is None:
            return torch.zeros(len(texts))
        found: Tensor = logits[:, -1, [self.toward, self.against]].float().log_softmax(dim=-1)[:, 0]
        return found
