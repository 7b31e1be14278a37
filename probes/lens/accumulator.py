"""The running statistics of a lens: one mean per text, layer and metric, with its controls."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from probes.lens.metrics import METRICS, LensMath
from probes.lens.report import LensCounts, report
from workbench.methods.contracts import Context, Example
from workbench.model.sites import Site
from workbench.model.trace import Trace
from workbench.result.result import Result

CONTROLS = ("random", "shuffled")

# States wait to go through the head together, since products of few rows are half as fast: as
# many as it takes at once, and no more than these.
_WAITING_ROWS = 256


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Which positions a lens is read at, and how much of it is kept for show.

    Every `every`-th position counts, or only the last one; `skip_first` leaves out position 0,
    whose state is an outlier in most models. `shown` tokens of the first text fill the heat
    map. `controls` positions per text are compared with the controls, in one text out of
    `control_every`.
    """

    positions: Literal["all", "last"] = "all"
    every: int = 1
    skip_first: bool = True
    controls: int = 8
    control_every: int = 1
    shown: int = 24

    def of(self, length: int) -> list[int]:
        """Return the positions to read in a text of that many tokens."""
        first = 1 if self.skip_first else 0
        if self.positions == "last":
            return [length - 1] if length > first else []
        return list(range(first, length, self.every))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """States at some positions of one text, with what follows them."""

    states: Float[Tensor, "site n d_model"]
    final: Float[Tensor, "n d_model"]
    following: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.following)

    def take(self, rows: Sequence[int]) -> "_Rows":
        index = torch.as_tensor(list(rows), dtype=torch.long)
        return _Rows(
            states=self.states[:, index.to(self.states.device)],
            final=self.final[index.to(self.final.device)],
            following=self.following[index],
        )

    def against(self, goal: "_Rows") -> "_Rows":
        """Return these states with the final predictions and next tokens of others."""
        return _Rows(states=self.states, final=goal.final, following=goal.following)


def _joined(parts: Sequence[_Rows]) -> _Rows:
    return _Rows(
        states=torch.cat([p.states for p in parts], dim=1),
        final=torch.cat([p.final for p in parts]),
        following=torch.cat([p.following for p in parts]),
    )


class LensAccumulator:
    """Means over the positions of each text; `plain` lenses without translation run beside."""

    def __init__(
        self,
        sites: Sequence[Site],
        lens: LensMath,
        reading: Reading,
        context: Context,
        plain: LensMath | None = None,
    ) -> None:
        """Begin counting; the last site is the state that the model itself unembeds."""
        self.sites = tuple(sites)
        self.lens = lens
        self.plain = plain
        self.reading = reading
        self.context = context
        self._kinds = ("lens", *CONTROLS, *(("plain",) if plain else ()))
        self._means: list[Float[np.ndarray, "kind site metric"]] = []
        self._n_tokens: list[int] = []
        self._waiting: list[dict[str, _Rows]] = []
        self._shown: dict[str, NDArray[Any]] = {}

    def add(self, trace: Trace, examples: Sequence[Example]) -> None:
        """Take the states of one batch; they go through the head when there are enough."""
        tokens = trace.tokens.to("cpu")
        ids = [tokens.row(row) for row in range(len(examples))]
        where = [self.reading.of(len(text)) for text in ids]
        self._n_tokens += map(len, where)
        read = self._rows(trace, ids, where)
        self._waiting += [self._parts(rows, text) for rows, text in zip(read, ids, strict=True)]
        for row, text in enumerate(ids):
            if not self._shown and len(text) > 1:
                self._shown = self._show(trace, row, ids)
        most = min(self.lens.rows_at_once, _WAITING_ROWS)
        while n_texts := self._first(most):
            self._settle(n_texts)

    def _first(self, most: int) -> int:
        """Return how many waiting texts fit that many states, one at least; 0 if more could."""
        n_rows = 0
        for n_texts, parts in enumerate(self._waiting):
            n_rows += sum(map(len, parts.values()))
            if n_rows > most:
                return max(1, n_texts)
        return len(self._waiting) if n_rows == most else 0

    def _settle(self, n_texts: int | None = None) -> None:
        """Put the first texts that wait through the head, or all of them."""
        n_texts = len(self._waiting) if n_texts is None else n_texts
        texts, self._waiting = self._waiting[:n_texts], self._waiting[n_texts:]
        means = np.full((len(texts), *self._shape[1:]), np.nan)
        self._fill(means, texts, self.lens, ("lens", *CONTROLS))
        if self.plain is not None:
            plain = [{"plain": parts["lens"]} if parts else {} for parts in texts]
            self._fill(means, plain, self.plain, ("plain",))
        self._means += list(means)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the means of every text, how many positions they cover, and the shown text."""
        self._settle()
        return {
            "means": np.array(self._means).reshape(self._shape),
            "n_tokens": np.array(self._n_tokens, dtype=np.int64),
            **self._shown,
        }

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Add the texts that came after."""
        self._settle()
        self._means += list(state["means"])
        self._n_tokens += [int(n) for n in state["n_tokens"]]
        if not self._shown:
            self._shown = {name: state[name] for name in state if name.startswith("shown_")}

    def result(self, context: Context) -> Result:
        """Average over texts, with intervals over texts."""
        self._settle()
        counts = LensCounts(
            sites=self.sites,
            kinds=self._kinds,
            means=np.array(self._means).reshape(self._shape),
            n_tokens=np.array(self._n_tokens, dtype=np.int64),
            shown=self._shown,
        )
        return report(counts, context)

    @property
    def _shape(self) -> tuple[int, ...]:
        return len(self._means), len(self._kinds), len(self.sites), len(METRICS)

    def _fill(
        self,
        means: Float[np.ndarray, "text kind site metric"],
        texts: Sequence[Mapping[str, _Rows]],
        lens: LensMath,
        kinds: Sequence[str],
    ) -> None:
        parts = [
            (text, kind, rows[kind])
            for text, rows in enumerate(texts)
            for kind in kinds
            if kind in rows
        ]
        if not parts:
            return
        together = _joined([rows for _, _, rows in parts])
        values = lens.compare(together.states, together.final, together.following).numpy()
        start = 0
        for text, kind, rows in parts:
            mine = values[:, start : start + len(rows)]
            means[text, self._kinds.index(kind)] = _mean_of_defined(mine)
            start += len(rows)

    def _parts(self, counted: _Rows, ids: Sequence[int]) -> dict[str, _Rows]:
        """The states to count, random vectors of the same length, and states from elsewhere.

        The draws depend on the seed and the text alone, so that they do not shift with the
        order of texts or the size of batches.
        """
        n = len(counted)
        if not n:
            return {}
        digest = hashlib.sha256(np.array(ids, dtype=np.int64).tobytes()).hexdigest()
        if int(digest[-8:], 16) % self.reading.control_every:
            return {"lens": counted}
        draw = self.context.stream(f"lens controls {digest[:16]}")
        rows = np.sort(draw.permutation(n)[: self.reading.controls])
        goal = counted.take(rows.tolist())
        noise = _random_like(goal.states, draw)
        random = _Rows(states=noise, final=goal.final, following=goal.following)
        if n < 2:
            return {"lens": counted, "random": random}
        elsewhere = (rows + draw.integers(1, n, size=len(rows))) % n
        shuffled = counted.take(elsewhere.tolist()).against(goal)
        return {"lens": counted, "random": random, "shuffled": shuffled}

    def _rows(
        self, trace: Trace, ids: Sequence[Sequence[int]], where: Sequence[Sequence[int]]
    ) -> list[_Rows]:
        """Return the states at some positions of every text, read from each site at once."""
        mask = trace.tokens.mask.cpu()
        columns = [
            mask[row].nonzero()[:, 0][torch.as_tensor(list(at), dtype=torch.long)]
            for row, at in enumerate(where)
        ]
        sizes = [len(some) for some in columns]
        rows = torch.repeat_interleave(torch.arange(len(ids)), torch.tensor(sizes))
        column = torch.cat(columns)
        found = [_at(trace.activations[site], rows, column) for site in self.sites]
        states = torch.stack([x.to(found[-1].device) for x in found])
        following = [
            torch.tensor([text[t + 1] if t + 1 < len(text) else -1 for t in at], dtype=torch.long)
            for text, at in zip(ids, where, strict=True)
        ]
        return [
            _Rows(states=h, final=final, following=after)
            for h, final, after in zip(
                states.split(sizes, dim=1), found[-1].split(sizes), following, strict=True
            )
        ]

    def _show(
        self, trace: Trace, row: int, ids: Sequence[Sequence[int]]
    ) -> dict[str, NDArray[Any]]:
        first = 1 if self.reading.skip_first else 0
        where = range(first, min(len(ids[row]), first + self.reading.shown))
        nowhere: Sequence[int] = ()
        read = self._rows(trace, ids, [where if i == row else nowhere for i in range(len(ids))])
        tokens, chances = self.lens.top(read[row].states)
        return {
            "shown_ids": np.array(ids[row][first : first + len(where)], dtype=np.int64),
            "shown_top": tokens.numpy(),
            "shown_chance": chances.numpy(),
        }


def _at(
    x: Float[Tensor, "batch pos d_model"], rows: Int[Tensor, " n"], columns: Int[Tensor, " n"]
) -> Float[Tensor, "n d_model"]:
    """Read single places; one transfer of their numbers, whatever the device."""
    places = rows * x.shape[1] + columns
    return x.flatten(0, 1).index_select(0, places.to(x.device))


def _random_like(
    h: Float[Tensor, "site n d_model"], draw: np.random.Generator
) -> Float[Tensor, "site n d_model"]:
    noise = torch.from_numpy(draw.standard_normal(tuple(h.shape), dtype=np.float32))
    scale: Tensor = h.float().norm(dim=-1).cpu() / noise.norm(dim=-1)
    return (noise * scale[..., None]).to(device=h.device, dtype=h.dtype)


def _mean_of_defined(
    values: Float[np.ndarray, "site n metric"],
) -> Float[np.ndarray, "site metric"]:
    defined = np.isfinite(values)
    total = np.where(defined, values, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / defined.sum(axis=1))
