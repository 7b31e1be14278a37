"""What a lens at one layer says, against what the model says in the end."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.linalg import vecdot

from workbench.errors import InputError
from workbench.methods.contracts import Context

METRICS = ("kl", "nll", "agreement", "rank", "entropy", "probability")

Unembed = Callable[[Tensor], Tensor]
Translate = Callable[[int, Tensor], Tensor]

_ALIVE = 3  # tensors of rows × vocabulary alive at once, counting copies in 16 bits

# What a processor reads several times in a row had better stay in its cache.
_CACHED_ROWS, _ROWS_ON_ACCELERATOR = 8, 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Every metric at every site and column, in the order of `METRICS`, and the first choice.

    `best` is −1 where it was not asked for.
    """

    values: Float[Tensor, "site n metric"]
    best: Int[Tensor, "site n"]

    def __getitem__(self, metric: str) -> Float[Tensor, "site n"]:
        """Return one metric."""
        return self.values[..., METRICS.index(metric)]

    def split(self, sizes: Sequence[int]) -> list["Comparison"]:
        """Return parts of so many columns each."""
        parts = zip(self.values.split(sizes, dim=1), self.best.split(sizes, dim=1), strict=True)
        return [Comparison(values=values, best=best) for values, best in parts]


@dataclass(frozen=True, kw_only=True, eq=False)
class LensMath:
    """Compares lens predictions with final ones, a bounded number of positions at a time.

    `translate(i, h)` maps states of the i-th site before they are unembedded. `budget` is how
    many numbers the tensors over the vocabulary may hold together.
    """

    unembed: Unembed
    translate: Translate
    d_vocab: int
    budget: int

    @classmethod
    def of(cls, context: Context, translate: Translate, *, memory: int) -> "LensMath":
        """Return the lens of a model that may use so many MiB.

        Raises:
            InputError: there is no model.
        """
        if context.spec is None or context.unembed is None:
            raise InputError("a lens needs a model", hint="activation files have no output head")
        return cls(
            unembed=context.unembed,
            translate=translate,
            d_vocab=context.spec.d_vocab,
            budget=memory * (1 << 20) // 4,
        )

    @property
    def rows_at_once(self) -> int:
        """How many positions are unembedded together."""
        return rows_at_once(self.budget, self.d_vocab, _ALIVE)

    def compare(
        self,
        states: Sequence[Float[Tensor, "n d_model"]] | Float[Tensor, "site n d_model"],
        final: Float[Tensor, "m d_model"],
        following: Int[Tensor, " m"],
        *,
        target: Int[Tensor, " n"] | None = None,
        named: Int[Tensor, " k"] | None = None,
    ) -> Comparison:
        """Compare every site with the final predictions.

        `states` holds one tensor per site, whose column j is compared with row `target[j]` of
        `final` (default: row j); `following` is the next token's id, −1 where there is none
        (`nll` and `rank` are then NaN); `named` are the columns whose first choice is wanted.

        With p the final distribution and q the lens: `kl` is KL(p‖q) and `nll` is −ln q(next), in
        nats; `agreement` is 1 where both rank the same token first; `rank` is ln of the next
        token's rank under q (1 is the top); `entropy` is that of q, in nats; `probability` is
        that of the first choice under q. A final state has kl exactly 0.
        """
        target = torch.arange(len(final)) if target is None else target
        is_named = torch.zeros(len(target), dtype=torch.bool)
        is_named[[] if named is None else named] = True
        values = torch.empty(len(states), len(target), len(METRICS), dtype=torch.float64)
        best = torch.full(values.shape[:2], -1)
        for first in range(0, len(final), self.rows_at_once):
            rows = slice(first, first + self.rows_at_once)
            goal = _Target(final[rows], self._logits(final[rows]), following[rows])
            columns = ((target >= first) & (target < rows.stop)).nonzero()[:, 0]
            for sites, some in self._products(len(states), columns):
                # Products of few rows are half as fast, so that several sites share one.
                h = torch.cat([self.translate(i, states[i][some]).to(final.device) for i in sites])
                at, wanted = (target[some] - first).repeat(len(sites)), is_named[some]
                found, top = goal.compare(self._logits(h), h, at, wanted.repeat(len(sites)))
                part = slice(sites.start, sites.stop)
                values[part, some] = found.view(len(sites), len(some), -1)
                best[part, some] = top.view(len(sites), len(some))
        return Comparison(values=values, best=best)

    def _products(
        self, n_sites: int, columns: Int[Tensor, " n"]
    ) -> Iterator[tuple[range, Int[Tensor, " part"]]]:
        """Yield the sites and columns that are unembedded together."""
        at_once = max(1, self.rows_at_once // max(1, len(columns)))
        parts = columns.tensor_split(-(-len(columns) // self.rows_at_once)) if len(columns) else ()
        for first in range(0, n_sites, at_once):
            for part in parts:
                yield range(first, min(first + at_once, n_sites)), part

    def _logits(self, h: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_vocab"]:
        return self.unembed(h).float()


def untranslated(_: int, h: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_model"]:
    """Return the states as they are."""
    return h


def rows_at_once(budget: int, d_vocab: int, n_alive: int) -> int:
    """How many rows over the vocabulary fit `budget` numbers, `n_alive` tensors of them."""
    return max(1, budget // (n_alive * d_vocab))


def _few_rows(n: int, device: torch.device) -> Iterator[slice]:
    """Yield rows in parts that a processor's cache holds."""
    step = _CACHED_ROWS if device.type == "cpu" else _ROWS_ON_ACCELERATOR
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def _places(at: Int[Tensor, " n"], device: torch.device) -> slice | Tensor:
    """Return an index of rows that makes a view where they follow each other."""
    first, n = int(at[0]), len(at)
    if torch.equal(at, torch.arange(first, first + n)):
        return slice(first, first + n)
    return at.to(device)


class _Target:
    """The final predictions that lenses are compared with."""

    def __init__(
        self,
        states: Float[Tensor, "m d_model"],
        logits: Float[Tensor, "m d_vocab"],
        following: Int[Tensor, " m"],
    ) -> None:
        self._states = states
        self._p = torch.empty_like(logits)
        self._top = torch.empty_like(following, device=logits.device)
        self._negative_entropy = logits.new_empty(len(logits))
        for rows in _few_rows(len(logits), logits.device):
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
        at: Int[Tensor, " n"],
        named: Bool[Tensor, " n"],
    ) -> tuple[Float[Tensor, "n metric"], Int[Tensor, " n"]]:
        """Return all metrics of each row against row `at` of the target, and the first choices."""
        found = torch.empty(len(logits), len(METRICS), dtype=torch.float64)
        best = torch.full((len(logits),), -1)
        device = logits.device
        # Two products of the same state may round apart.
        is_final = (states == self._states[at.to(states.device)]).all(dim=-1).to(device)
        for rows in _few_rows(len(logits), device):
            part = self._metrics(_places(at[rows], device), logits[rows], is_final[rows])
            found[rows] = part.double().cpu()
            which = rows.start + named[rows].nonzero()[:, 0]
            if len(which):
                best[which] = logits[which.to(device)].argmax(dim=-1).cpu()
        return found, best

    def _metrics(
        self,
        at: slice | Tensor,
        logits: Float[Tensor, "n d_vocab"],
        is_final: Bool[Tensor, " n"],
    ) -> Float[Tensor, "n metric"]:
        seen = _Distribution(logits)
        # Σ p (ln p − ln q) without ever forming ln p or ln q
        cross = vecdot(self._p[at], logits) - seen.total
        kl = (self._negative_entropy[at] - cross).clamp(min=0).masked_fill(is_final, 0)
        entropy = seen.total - vecdot(seen.weight, logits) / seen.mass
        nll, log_rank = self._at_next(self._following[at], logits, seen.total)
        agreement = self._agrees(self._top[at], logits, seen.highest) | is_final
        columns = [kl, nll, agreement.to(kl.dtype), log_rank, entropy, 1 / seen.mass]
        return torch.stack(columns, dim=-1)

    def _agrees(
        self,
        top: Int[Tensor, " n"],
        logits: Float[Tensor, "n d_vocab"],
        highest: Float[Tensor, " n"],
    ) -> Bool[Tensor, " n"]:
        """Whether the first choice is the same; finding its index is slow, so only where it may."""
        found = logits.gather(-1, top[:, None])[:, 0] == highest
        likely = found.nonzero()[:, 0]
        found[likely] = logits[likely].argmax(dim=-1) == top[likely]
        return found

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


class _Distribution:
    """Softmax left unnormalised: `weight` is e^(z − max z), `mass` its sum, `total` ln Σ e^z."""

    def __init__(self, logits: Float[Tensor, "n d_vocab"]) -> None:
        self.highest = logits.amax(dim=-1)
        self.weight = (logits - self.highest[:, None]).exp_()
        self.mass = self.weight.sum(dim=-1)
        self.total = self.highest + self.mass.log()
