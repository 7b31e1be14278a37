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

from probes._lens_metrics import METRICS, LensMath
from probes._lens_report import LensCounts, report
from workbench.methods.contracts import Context, Example
from workbench.model.sites import Site
from workbench.model.trace import Trace
from workbench.result.result import Result

CONTROLS = ("random", "shuffled")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Which positions a lens is read at, and how much of it is kept for show.

    Every `every`-th position counts, or only the last one; `skip_first` leaves out position 0,
    whose state is an outlier in most models. `shown` tokens of the first text fill the heat
    map. `controls` positions per text are compared with the controls.
    """

    positions: Literal["all", "last"] = "all"
    every: int = 1
    skip_first: bool = True
    controls: int = 8
    shown: int = 24

    def of(self, length: int) -> list[int]:
        """Return the positions to read in a text of that many tokens."""
        first = 1 if self.skip_first else 0
        if self.positions == "last":
            return [length - 1] if length > first else []
        return list(range(first, length, self.every))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Batch:
    """The states of one trace at the positions of one text."""

    states: list[Float[Tensor, "n d_model"]]
    final: Float[Tensor, "n d_model"]
    following: Int[Tensor, " n"]

    def take(self, rows: Sequence[int]) -> "_Batch":
        index = torch.as_tensor(list(rows), dtype=torch.long)
        return _Batch(
            states=[h[index.to(h.device)] for h in self.states],
            final=self.final[index.to(self.final.device)],
            following=self.following[index.to(self.following.device)],
        )


class LensTally:
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
        self._shown: dict[str, NDArray[Any]] = {}

    def add(self, trace: Trace, examples: Sequence[Example]) -> None:
        """Count one batch."""
        for row in range(len(examples)):
            ids = trace.tokens.row(row)
            where = self.reading.of(len(ids))
            self._n_tokens.append(len(where))
            self._means.append(self._text(trace, row, ids, where))
            if not self._shown and len(ids) > 1:
                self._shown = self._show(trace, row, ids)

    def merge(self, other: "LensTally") -> None:
        """Add the texts that came after."""
        self._means += other._means
        self._n_tokens += other._n_tokens
        self._shown = self._shown or other._shown

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the means of every text, how many positions they cover, and the shown text."""
        return {
            "means": np.array(self._means).reshape(self._shape),
            "n_tokens": np.array(self._n_tokens, dtype=np.int64),
            **self._shown,
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state that `arrays` returned."""
        self._means = list(arrays["means"])
        self._n_tokens = [int(n) for n in arrays["n_tokens"]]
        self._shown = {k: v for k, v in arrays.items() if k.startswith("shown_")}

    def result(self, context: Context) -> Result:
        """Average over texts, with intervals over texts."""
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

    def _text(
        self, trace: Trace, row: int, ids: Sequence[int], where: Sequence[int]
    ) -> Float[np.ndarray, "kind site metric"]:
        if not where:
            return np.full(self._shape[1:], np.nan)
        batch = self._states(trace, row, ids, where)
        parts = [self._mean(self.lens, batch), *self._control_means(batch, ids)]
        if self.plain is not None:
            parts.append(self._mean(self.plain, batch))
        return np.stack(parts)

    def _states(self, trace: Trace, row: int, ids: Sequence[int], where: Sequence[int]) -> _Batch:
        index = torch.as_tensor(list(where), dtype=torch.long)
        states = []
        for site in self.sites:
            x = trace.row(row, site)
            states.append(x[index.to(x.device)])
        following = torch.tensor([ids[t + 1] if t + 1 < len(ids) else -1 for t in where])
        return _Batch(states=states, final=states[-1], following=following)

    def _control_means(
        self, batch: _Batch, ids: Sequence[int]
    ) -> tuple[Float[np.ndarray, "site metric"], Float[np.ndarray, "site metric"]]:
        """Random vectors of the same length, and the states of other positions of the text.

        The draws depend on the seed and the text alone, so that they do not shift with the
        order of texts or the size of batches.
        """
        digest = hashlib.sha256(np.array(ids, dtype=np.int64).tobytes()).hexdigest()
        draw = self.context.stream(f"lens controls {digest[:16]}")
        n = len(batch.following)
        rows = np.sort(draw.permutation(n)[: self.reading.controls])
        chosen = batch.take(rows.tolist())
        noise = [_random_like(h, draw) for h in chosen.states]
        random = _Batch(states=noise, final=chosen.final, following=chosen.following)
        if n < 2:
            missing = np.full((len(self.sites), len(METRICS)), np.nan)
            return self._mean(self.lens, random), missing
        shift = draw.integers(1, n, size=len(rows))
        elsewhere = batch.take(((rows + shift) % n).tolist())
        shuffled = _Batch(states=elsewhere.states, final=chosen.final, following=chosen.following)
        return self._mean(self.lens, random), self._mean(self.lens, shuffled)

    def _mean(self, lens: LensMath, batch: _Batch) -> Float[np.ndarray, "site metric"]:
        values = lens.compare(batch.states, batch.final, batch.following).numpy()
        defined = np.isfinite(values)
        total = np.where(defined, values, 0.0).sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray(total / defined.sum(axis=1))

    def _show(self, trace: Trace, row: int, ids: Sequence[int]) -> dict[str, NDArray[Any]]:
        first = 1 if self.reading.skip_first else 0
        where = range(first, min(len(ids), first + self.reading.shown))
        batch = self._states(trace, row, ids, where)
        found = [self.lens.top(i, h) for i, h in enumerate(batch.states)]
        return {
            "shown_ids": np.array(ids[first : first + len(where)], dtype=np.int64),
            "shown_top": np.stack([token.numpy() for token, _ in found]),
            "shown_chance": np.stack([chance.numpy() for _, chance in found]),
        }


def _random_like(
    h: Float[Tensor, "n d_model"], draw: np.random.Generator
) -> Float[Tensor, "n d_model"]:
    noise = torch.from_numpy(draw.standard_normal(tuple(h.shape), dtype=np.float32))
    scale: Tensor = h.float().norm(dim=-1).cpu() / noise.norm(dim=-1)
    return (noise * scale[:, None]).to(device=h.device, dtype=h.dtype)
