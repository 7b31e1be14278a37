"""How alike the vectors of one token are in its different contexts."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

MAX_WORDS = 32
MIN_CONTEXTS = 8
MAX_CONTEXTS = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class WordValues:
    """Frequent vocabulary entries, how many contexts each has, and how alike these are.

    The choices are all contexts, then those outside each group of texts. `explained` is the
    largest eigenvalue's share of the variance of a word's contexts (at most 32), and
    `explained_chance` the same for as many random tokens. NaN is undefined.
    """

    token_ids: list[int]
    n: list[int]
    similarity: Float[np.ndarray, "layer word choice"]
    explained: Float[np.ndarray, "layer word choice"]
    explained_chance: Float[np.ndarray, "layer word"]


def frequent(token_ids: Int[np.ndarray, " n"]) -> list[int]:
    """Return the most frequent entries with at least eight contexts, at most 32."""
    ids, counts = np.unique(token_ids, return_counts=True)
    order = np.lexsort((ids, -counts))[:MAX_WORDS]
    return [int(ids[i]) for i in order if counts[i] >= MIN_CONTEXTS]


def word_metrics(
    x: Float[Tensor, "layer n d_model"],
    token_ids: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
    generator: np.random.Generator,
) -> WordValues:
    """Return self-similarity and maximum explained variance of frequent words.

    Self-similarity is (‖Σu‖² − n)/(n(n − 1)) over a word's n sampled contexts.

    Source: Ethayarajh 2019, sections 3.3 and 3.4; variance about the word's own mean.
    """
    chosen = frequent(token_ids)
    rows = [np.flatnonzero(token_ids == token) for token in chosen]
    few = [some[:MAX_CONTEXTS] for some in rows]
    others = [generator.choice(x.shape[1], size=len(some), replace=False) for some in few]
    present = np.unique(groups)
    left = np.stack(
        [np.ones(len(groups), dtype=bool), *(groups != g for g in present if len(present) > 1)]
    )
    shape = len(x), 0, len(left)
    similar = [_similarities(x, some, left[:, some]) for some in rows]
    return WordValues(
        token_ids=chosen,
        n=[len(some) for some in rows],
        similarity=np.stack(similar, axis=1) if rows else np.zeros(shape),
        explained=_top_shares(x, few, left) if rows else np.zeros(shape),
        explained_chance=_top_shares(x, others, left[:1])[..., 0] if rows else np.zeros(shape[:2]),
    )


def mean_over_words(
    values: Float[np.ndarray, "layer word choice"],
) -> Float[np.ndarray, "layer choice"]:
    """Average over words, leaving out the words that a choice cannot have."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = np.where(there, values, 0).sum(axis=1) / there.sum(axis=1)
    return found


def _similarities(
    x: Float[Tensor, "layer n d_model"],
    rows: Int[np.ndarray, " context"],
    left: Bool[np.ndarray, "choice context"],
) -> Float[np.ndarray, "layer choice"]:
    """Return the self-similarity of one word for every choice of its contexts."""
    unit = torch.nn.functional.normalize(_rows(x, rows), dim=2, eps=1e-300)
    member = torch.from_numpy(left).to(unit)
    squared = member @ (unit * unit).sum(dim=2).T
    n = (member @ unit.any(dim=2).to(unit).T).round()
    total = (member @ unit).square().sum(dim=2).T
    found = ((total - squared) / (n * (n - 1)).clamp(min=1)).masked_fill(n < 2, torch.nan)
    values: NDArray[np.float64] = found.T.cpu().numpy()
    return values


def _top_shares(
    x: Float[Tensor, "layer n d_model"],
    rows: list[NDArray[np.intp]],
    left: Bool[np.ndarray, "choice n"],
) -> Float[np.ndarray, "layer word choice"]:
    """Return the top eigenvalue's share of every word, all words padded to one size."""
    width = max(map(len, rows))
    padded = np.stack([np.pad(some, (0, width - len(some))) for some in rows])
    there = np.arange(width) < np.array([[len(some)] for some in rows])
    contexts = _rows(x, padded.ravel()).unflatten(1, padded.shape)
    gram = contexts @ contexts.mT
    member = torch.from_numpy(left[:, padded].swapaxes(0, 1) & there[:, None]).to(gram)
    n = member.sum(dim=2).clamp(min=1)
    centred = _centred(gram[:, :, None], member, n[..., None])
    trace = centred.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    size = (gram.abs() * (member[:, 0, :, None] * member[:, 0, None])).amax(dim=(2, 3))
    floor = torch.finfo(gram.dtype).eps * size[..., None] * n
    top = torch.linalg.eigvalsh(centred)[..., -1]
    is_there = (member.sum(dim=2) > 1) & (trace > floor)
    found: NDArray[np.float64] = (top / trace).masked_fill(~is_there, torch.nan).cpu().numpy()
    return found


def _centred(
    gram: Float[Tensor, "layer word 1 n n"],
    member: Float[Tensor, "word choice n"],
    n: Float[Tensor, "word choice 1"],
) -> Float[Tensor, "layer word choice n n"]:
    """Return the products of the chosen contexts about the mean of each choice, others zero."""
    mean = (gram @ member[..., None])[..., 0] / n
    middle = (mean * member).sum(dim=-1, keepdim=True) / n
    shift = (middle / 2 - mean)[..., None]
    both: Tensor = gram + shift + shift.mT
    return both.mul_(member[..., None]).mul_(member[..., None, :])


def _rows(x: Float[Tensor, "layer n d_model"], rows: Int[np.ndarray, " k"]) -> Tensor:
    return x.index_select(1, torch.from_numpy(rows).to(x.device))
