"""A classifier of responses that steers what is filled in."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class TokenClassifier:
    """Naive Bayes over the tokens of a response: log p(y | x) up to a constant, token by token.

    Guided log-probabilities are log μ(v) + scale·(log p(v | y) − log p(v)) at each position, which
    is Bayes' rule at a scale of 1 where tokens are independent given y.

    Source: CtrlDiff, arXiv:2505.14455, section 3.3. We differ: our classifier is fitted by counts,
    so that no gradient is needed.
    """

    def __init__(
        self,
        rows: Int[Tensor, "n pos"],
        labels: Bool[Tensor, " n"],
        *,
        d_vocab: int,
        scale: float,
    ) -> None:
        """Count the tokens of responses with and without the label, one added to each count."""
        hot = torch.nn.functional.one_hot(rows, d_vocab).double()
        every, own = (_shares(x) for x in (hot, hot[labels]))
        self._log_ratio, self._scale = own - every, scale

    def __call__(
        self, log_p: Float[Tensor, "batch pos d_vocab"]
    ) -> Float[Tensor, "batch pos d_vocab"]:
        """Return the guided log-probabilities; a scale of 0 returns what was given."""
        if self._scale == 0:
            return log_p
        found: Tensor = (log_p + self._scale * self._log_ratio).log_softmax(dim=-1)
        return found


def contains(rows: Sequence[str], text: str) -> Bool[Tensor, " n"]:
    """Return which responses contain a text."""
    return torch.tensor([text in row for row in rows], dtype=torch.bool)


def _shares(hot: Float[Tensor, "n pos d_vocab"]) -> Float[Tensor, "pos d_vocab"]:
    counts = hot.sum(dim=0) + 1
    return (counts / counts.sum(dim=-1, keepdim=True)).log()
