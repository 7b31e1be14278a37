"""Models that read in both directions as scorers: how likely a choice is after a prompt."""

from abc import ABC, abstractmethod
from typing import Any

from jaxtyping import Float
from torch import Tensor

from workbench.model.tokens import encoded


class TextScorer(ABC):
    """A model that reads in both directions and says how likely a choice is after a prompt."""

    def pseudo(self, prompt: str, choice: str) -> Float[Tensor, " token"]:
        """Return log p of each token of a choice, all other words in sight, in nats.

        The later pieces of a token's own word are not in sight, so that they do not tell it.

        Source: Salazar et al. 2020, arXiv:1910.14659; Kauf & Ivanova 2023, arXiv:2305.10588.
        """
        return self._scores(prompt, choice, sees_rest=True)

    def left_to_right(self, prompt: str, choice: str) -> Float[Tensor, " token"]:
        """Return log p of each token of a choice, nothing that follows in sight, in nats.

        Source: sequential autoregressive prompting, Patel et al. 2023, arXiv:2209.14500; we score
        given words in place of writing new ones.
        """
        return self._scores(prompt, choice, sees_rest=False)

    @abstractmethod
    def _scores(self, prompt: str, choice: str, *, sees_rest: bool) -> Float[Tensor, " token"]:
        """Return log p of each token; `sees_rest` leaves the words behind its own in sight."""


def own_tokens(
    tokenizer: Any, prompt: str, choice: str
) -> tuple[list[int], list[int], list[int | None]]:
    """Return a prompt with a choice as token ids, the columns of the choice, and their words."""
    whole = encoded(tokenizer, prompt + choice, offsets=True)
    words = whole.word_ids()
    own = [
        i
        for i, (start, end) in enumerate(whole["offset_mapping"])
        if end > start and end > len(prompt) and words[i] is not None
    ]
    return list(whole["input_ids"]), own, words
