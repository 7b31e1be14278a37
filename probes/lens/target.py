"""The final predictions that a lens is compared with, and the numbers that come of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.linalg import vecdot

METRICS = ("kl", "nll", "agreement", "rank", "entropy", "probability")

# What a processor reads several times in a row had better stay in its cache.
_CACHED_NUMBERS, _FEWEST_ROWS = 400_000, 8


def _few_rows(logits: Float[Tensor, "n d_vocab"]) -> Iterator[slice]:
    """Yield rows in parts that a processor's cache holds; an accelerator takes all at once."""
    n, d_vocab = logits.shape
    cached = max(_FEWEST_ROWS, _CACHED_NUMBERS // max(d_vocab, 1))
    step = cached if logits.device.type == "cpu" else max(n, 1)
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """The target of every column, on the processor (`near`) and on the device, and who is named."""

    near: Int[Tensor, " n"]
    there: Int[Tensor, " n"]
    named: Bool[Tensor, " n"]

    @classmethod
    def of(cls, target: Tensor, named: Tensor, final: Tensor) -> "Columns":
        """Take their numbers to the device of the final states."""
        return cls(near=target, there=target.to(final.device), named=named)

    def of_part(self, some: slice, first: int, n_sites: int) -> "Columns":
        """Return some columns, once for each site, with targets counted from `first`."""
        return Columns(
            near=(self.near[some] - first).repeat(n_sites),
            there=(self.there[some] - first).repeat(n_sites),
            named=self.named[some].repeat(n_sites),
        )

    def places(self, rows: slice) -> slice | Tensor:
        """Return the targets of some columns, as what makes a view where they follow each other."""
        at = self.near[rows]
        first = int(at[0])
        if torch.equal(at, torch.arange(first, first + len(at))):
            return slice(first, first + len(at))
        return self.there[rows]


class Target:
    """The final predictions that lenses are compared with."""

    def __init__(
        self,
        states: Float[Tensor, "m d_model"],
        logits: Float[Tensor, "m d_vocab"],
        following: Int[Tensor, " m"],
    ) -> None:
        """Work out what every comparison needs; `following` lies on the processor."""
        self._states = states
        self._p = torch.empty_like(logits)
        self._top = torch.empty_like(following, device=logits.device)
        self._negative_entropy = logits.new_empty(len(logits))
        for rows in _few_rows(logits):
            z = logits[rows]
            seen = _Distribution(z)
            p = torch.div(seen.weight, seen.mass[:, None], out=self._p[rows])
            self._top[rows] = z.argmax(dim=-1)
            self._negative_entropy[rows] = vecdot(p, z) - seen.total
        self._following = following.to(logits.device)
        self._is_known = bool((following >= 0).any())

    def compare(
        self,
        logits: Float[Tensor, "n d_vocab"],
        states: Float[Tensor, "n d_model"],
        columns: Columns,
    ) -> Float[Tensor, "n metric"]:
        """Return all metrics of each row against its target, and at last the first choice.

        On a processor, where it takes time, the first choice is that of named rows alone.
        """
        found = logits.new_empty(len(logits), len(METRICS) + 1, dtype=torch.float64)
        # Two products of the same state may round apart.
        is_final = (states == self._states[columns.there]).all(dim=-1)
        for rows in _few_rows(logits):
            best = _first_choice(logits[rows], columns.named[rows])
            at = columns.places(rows)
            found[rows, :-1] = self._metrics(at, logits[rows], is_final[rows], best).double()
            found[rows, -1] = best.double()
        return found

    def _metrics(
        self,
        at: slice | Tensor,
        logits: Float[Tensor, "n d_vocab"],
        is_final: Bool[Tensor, " n"],
        best: Int[Tensor, " n"],
    ) -> Float[Tensor, "n metric"]:
        seen = _Distribution(logits)
        # Σ p (ln p − ln q) without ever forming ln p or ln q
        cross = vecdot(self._p[at], logits) - seen.total
        kl = (self._negative_entropy[at] - cross).clamp(min=0).masked_fill(is_final, 0)
        entropy = seen.total - vecdot(seen.weight, logits) / seen.mass
        nll, log_rank = self._at_next(self._following[at], logits, seen.total)
        top = self._top[at]
        is_same = _agrees(top, logits, seen.highest) if _is_near(logits) else best == top
        agreement = is_same | is_final
        columns = [kl, nll, agreement.to(kl.dtype), log_rank, entropy, 1 / seen.mass]
        return torch.stack(columns, dim=-1)

    def _at_next(
        self,
        following: Int[Tensor, " n"],
        logits: Float[Tensor, "n d_vocab"],
        total: Float[Tensor, " n"],
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Return −ln q(next) and ln of its rank, NaN where there is no next token."""
        if not self._is_known:
            missing = torch.full_like(total, torch.nan)
            return missing, missing
        unknown = following < 0
        next_logit = logits.gather(-1, following.clamp(min=0)[:, None])
        log_rank = ((logits > next_logit).sum(dim=-1) + 1).to(logits.dtype).log()
        nll = total - next_logit[:, 0]
        return nll.masked_fill(unknown, torch.nan), log_rank.masked_fill(unknown, torch.nan)


def _is_near(logits: Tensor) -> bool:
    return logits.device.type == "cpu"


def _first_choice(logits: Float[Tensor, "n d_vocab"], named: Bool[Tensor, " n"]) -> Tensor:
    if not _is_near(logits):
        return logits.argmax(dim=-1)
    best = torch.full((len(logits),), -1)
    which = named.nonzero()[:, 0]
    best[which] = logits[which].argmax(dim=-1)
    return best


def _agrees(
    top: Int[Tensor, " n"], logits: Float[Tensor, "n d_vocab"], highest: Float[Tensor, " n"]
) -> Bool[Tensor, " n"]:
    """Whether the first choice is the same; finding its index is slow, so only where it may."""
    found = logits.gather(-1, top[:, None])[:, 0] == highest
    likely = found.nonzero()[:, 0]
    found[likely] = logits[likely].argmax(dim=-1) == top[likely]
    return found


class _Distribution:
    """Softmax left unnormalised: `weight` is e^(z − max z), `mass` its sum, `total` ln Σ e^z."""

    def __init__(self, logits: Float[Tensor, "n d_vocab"]) -> None:
        self.highest = logits.amax(dim=-1)
        self.weight = (logits - self.highest[:, None]).exp_()
        self.mass = self.weight.sum(dim=-1)
        self.total = self.highest + self.mass.log()
