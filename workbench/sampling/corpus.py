"""Where token sequences occur in a corpus, and decoding that never leaves it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int

from workbench.errors import TooLittleData
from workbench.model.policy import GREEDY, Choice, Host, Sampling, Step
from workbench.model.sites import Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens

_END, _BETWEEN, _FIRST = 0, 1, 2  # symbols: end of all, end of a document, then the tokens


class CorpusIndex:
    """A suffix array of documents of tokens, searched backwards.

    A sequence matches within one document only. Memory is about 40 bytes per token.

    Source: Ferragina & Manzini 2000 (backward search), as in SEAL, arXiv:2204.10628.
    """

    def __init__(self, documents: Sequence[Sequence[int]]) -> None:
        """Sort all suffixes of the documents.

        Raises:
            TooLittleData: there is no token.
        """
        if not any(documents):
            raise TooLittleData("the corpus holds no token", hint="give a file with texts")
        parts = [[*(i + _FIRST for i in d), _BETWEEN] for d in documents]
        self.symbols = np.array([i for part in parts for i in part] + [_END], np.int64)
        self.n_tokens = int((self.symbols >= _FIRST).sum())
        self.order = suffix_order(self.symbols)
        before = self.symbols[self.order - 1]
        self._places = np.argsort(before, kind="stable")
        self._starts = np.r_[0, np.cumsum(np.bincount(self.symbols))]

    def longest(self, ids: Sequence[int]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Return for each token the longest match that ends there, and how often it occurs."""
        lengths, counts = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
        for end in range(len(ids)):
            low, high = 0, len(self.order)
            for start in range(end, -1, -1):
                low, high = self._extended(ids[start], low, high)
                if low >= high:
                    break
                lengths[end], counts[end] = end - start + 1, high - low
        return lengths, counts

    def count(self, ids: Sequence[int]) -> int:
        """Return how often a sequence of tokens occurs."""
        low, high = self._interval(ids)
        return high - low

    def following(self, ids: Sequence[int]) -> tuple[Int[np.ndarray, " n"], bool]:
        """Return the tokens that follow a sequence anywhere, and whether a document ends there."""
        low, high = self._interval(ids)
        after = np.unique(self.symbols[self.order[low:high] + len(ids)])
        return after[after >= _FIRST] - _FIRST, bool(ids) and bool((after < _FIRST).any())

    def _interval(self, ids: Sequence[int]) -> tuple[int, int]:
        low, high = 0, len(self.order)
        for i in reversed(ids):
            low, high = self._extended(i, low, high)
        return low, max(low, high)

    def _extended(self, token: int, low: int, high: int) -> tuple[int, int]:
        """Return the suffixes that begin with a token and go on as those of an interval."""
        symbol = token + _FIRST
        if symbol + 1 >= len(self._starts):
            return 0, 0
        first = int(self._starts[symbol])
        places = self._places[first : self._starts[symbol + 1]]
        a, b = np.searchsorted(places, (low, high))
        return first + int(a), first + int(b)


def suffix_order(symbols: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Return where the suffixes begin, in order, by doubling the length that is sorted."""
    rank, n, length = np.unique(symbols, return_inverse=True)[1].astype(np.int64), len(symbols), 1
    while True:
        later = np.zeros(n, np.int64)
        later[: max(n - length, 0)] = rank[length:] + 1
        key = rank * (n + 2) + later
        order = np.argsort(key, kind="stable")
        is_new = np.r_[False, np.diff(key[order]) != 0]
        rank = np.empty(n, np.int64)
        rank[order] = np.cumsum(is_new)
        if int(is_new.sum()) == n - 1:
            return order
        length *= 2


@dataclass(frozen=True, kw_only=True, eq=False)
class WithinCorpus:
    """Choose among the tokens that go on from what was generated somewhere in a corpus.

    Where a document ends the end token may be chosen too, and must be where nothing follows.

    Source: SEAL, section 3.2, greedy or sampled in place of its beam search.
    """

    index: CorpusIndex
    stop_id: int
    sampling: Sampling = GREEDY

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        """Read nothing."""
        return ()

    def begin(self, prompt: Tokens, model: Host) -> "_WithinCorpus":
        """Remember where each prompt ends."""
        return _WithinCorpus(self, prompt.lengths)


class _WithinCorpus:
    def __init__(self, recipe: WithinCorpus, starts: Sequence[int]) -> None:
        self._recipe, self._starts = recipe, starts

    def choose(self, step: Step) -> Choice:
        """Choose the next token of every row."""
        recipe, allowed = self._recipe, torch.full_like(step.logits, -torch.inf)
        for i, history in enumerate(step.history):
            ids, may_end = recipe.index.following(history[self._starts[i] :])
            kept = [*ids.tolist(), *([recipe.stop_id] if may_end or not len(ids) else [])]
            allowed[i, kept] = step.logits[i, kept]
        if recipe.sampling.temperature == 0:
            tokens = allowed.argmax(dim=-1)
        else:
            tokens = recipe.sampling.choose(replace(step, logits=allowed)).tokens
        return Choice(tokens=tokens, stop=tokens == recipe.stop_id)
