"""DocNADE: a topic model that predicts each word from the bag of those before it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_BATCH, _RATE = 16, 0.01


@dataclass(frozen=True, kw_only=True, eq=False)
class Documents:
    """Texts as numbers of words in a small vocabulary, padded; `state` stands before each word."""

    words: Int[Tensor, "doc word"]
    mask: Bool[Tensor, "doc word"]
    state: Float[Tensor, "doc word width"] | None = None

    def take(self, rows: Sequence[int]) -> "Documents":
        """Return the documents at those indices."""
        at = torch.as_tensor(rows)
        state = None if self.state is None else self.state[at]
        return Documents(words=self.words[at], mask=self.mask[at], state=state)


def pad_documents(words: Sequence[Sequence[int]]) -> Documents:
    """Return documents of any lengths side by side."""
    rows = [torch.tensor(row) for row in words]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    return Documents(words=padded, mask=torch.arange(padded.shape[1]) < lengths[:, None])


def losses(
    weights: Mapping[str, Tensor], documents: Documents, weight: float
) -> Float[Tensor, "doc word"]:
    """Return −ln p of each word after the bag of those before it, in nats."""
    own = weights["words"][documents.words] * documents.mask[..., None]
    hidden = weights["offset"] + own.cumsum(dim=1) - own
    if documents.state is not None and weight:
        hidden = hidden + weight * documents.state @ weights["state"]
    logits = torch.tanh(hidden) @ weights["out"] + weights["bias"]
    return -logits.log_softmax(dim=-1).gather(2, documents.words[..., None])[..., 0]


def fit(  # noqa: PLR0913 - two parts of the data, the sizes of the network and how it learns
    train: Documents,
    choose: Documents,
    *,
    n_words: int,
    topics: int,
    weight: float,
    epochs: int,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Train a DocNADE and return the weights of the epoch that is best on the second part."""
    width = 0 if train.state is None else train.state.shape[-1]
    shapes = {"words": (n_words, topics), "out": (topics, n_words), "state": (width, topics)}
    weights = {
        name: (0.1 * torch.randn(shape, generator=generator)).requires_grad_()
        for name, shape in shapes.items()
    }
    counts = torch.bincount(train.words[train.mask], minlength=n_words) + 1.0
    weights["bias"] = (counts / counts.sum()).log().requires_grad_()
    weights["offset"] = torch.zeros(topics, requires_grad=True)
    optimizer = torch.optim.Adam(weights.values(), lr=_RATE)
    best, found = float("inf"), {}
    orders = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for rows in torch.randperm(len(train.words), generator=orders).split(_BATCH):
            batch = train.take(rows.tolist())
            optimizer.zero_grad()
            losses(weights, batch, weight)[batch.mask].mean().backward()
            optimizer.step()
        with torch.no_grad():
            loss = float(losses(weights, choose, weight)[choose.mask].mean())
        if loss < best:
            best, found = loss, {name: x.detach().clone() for name, x in weights.items()}
    return found


def npmi(holds: Bool[np.ndarray, "doc word"]) -> float | None:
    """Return the mean over pairs of words of ln(p_ab/(p_a·p_b)) / −ln p_ab.

    1 where two words stand in the same documents, 0 where they are independent, −1 where they
    never meet. Two words that stand in every document say nothing; None where all pairs are such.

    Source: Röder et al. 2015, section 3, over whole documents.
    """
    each = []
    for a, b in combinations(range(holds.shape[1]), 2):
        both, p = float((holds[:, a] & holds[:, b]).mean()), holds[:, [a, b]].mean(axis=0)
        if both < 1:
            each.append(float(np.log(both / p.prod()) / -np.log(both)) if both else -1.0)
    return float(np.mean(each)) if each else None
