"""What a lens at one layer says, against what the model says in the end."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.linalg import vecdot

METRICS = ("kl", "nll", "agreement", "log_rank", "entropy")
NEEDS_NEXT = ("nll", "log_rank")

Unembed = Callable[[Tensor], Tensor]
Translate = Callable[[int, Tensor], Tensor]

_ALIVE = 3  # tensors of rows × vocabulary alive at once, counting copies in 16 bits

# What a processor reads several times in a row had better stay in its cache.
_CACHED_ROWS = 8


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

    @property
    def rows_at_once(self) -> int:
        """How many positions are unembedded together."""
        return rows_at_once(self.budget, self.d_vocab, _ALIVE)

    def compare(
        self,
        states: Sequence[Float[Tensor, "n d_model"]] | Float[Tensor, "site n d_model"],
        final: Float[Tensor, "n d_model"],
        following: Int[Tensor, " n"],
    ) -> Float[Tensor, "site n metric"]:
        """Return every metric at every site and position, in the order of `METRICS`.

        `states` holds one tensor per site; `following` the next token's id, −1 where there is
        none (`nll` and `log_rank` are then NaN). With p the final distribution and q the lens:
        `kl` is KL(p‖q) and `nll` is −ln q(next), in nats; `agreement` is 1 where both rank the
        same token first; `log_rank` is ln of the next token's rank under q (1 is the top);
        `entropy` is that of q, in nats. The final state under its own lens has kl exactly 0.
        """
        n = len(following)
        found = torch.empty(len(states), n, len(METRICS), dtype=torch.float64)
        for start in range(0, n, self.rows_at_once):
            rows = slice(start, start + self.rows_at_once)
            goal = _Goal(self.logits(None, final[rows]), following[rows])
            for i, h in enumerate(states):
                found[i, rows] = goal.metrics(self.logits(i, h[rows])).double().cpu()
        return found

    def top(
        self, states: Float[Tensor, "site n d_model"]
    ) -> tuple[Int[Tensor, "site n"], Float[Tensor, "site n"]]:
        """Return the first-ranked token at every site and position, and its probability."""
        read = torch.cat([self.translate(i, h) for i, h in enumerate(states)])
        tokens, chances = [], []
        for rows in read.split(self.rows_at_once):
            chance, token = self.logits(None, rows).softmax(dim=-1).max(dim=-1)
            tokens.append(token.cpu())
            chances.append(chance.cpu())
        shape = states.shape[:2]
        return torch.cat(tokens).view(shape), torch.cat(chances).view(shape)

    def logits(self, site: int | None, h: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_vocab"]:
        """Return fp32 logits of states at the i-th site, or untranslated for None."""
        return self.unembed(h if site is None else self.translate(site, h)).float()


def rows_at_once(budget: int, d_vocab: int, n_alive: int) -> int:
    """How many rows over the vocabulary fit `budget` numbers, `n_alive` tensors of them."""
    return max(1, budget // (n_alive * d_vocab))


def _few_rows(logits: Float[Tensor, "n d_vocab"]) -> Iterator[slice]:
    """Yield the rows in parts that a processor's cache holds; whole on an accelerator."""
    n = len(logits)
    step = _CACHED_ROWS if logits.device.type == "cpu" else n
    return (slice(start, start + step) for start in range(0, n, step))


class _Goal:
    """The final predictions that lenses are compared with."""

    def __init__(self, logits: Float[Tensor, "n d_vocab"], following: Int[Tensor, " n"]) -> None:
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

    def metrics(self, logits: Float[Tensor, "n d_vocab"]) -> Float[Tensor, "n metric"]:
        logits = logits.to(self._p.device)
        return torch.cat([self._metrics(rows, logits[rows]) for rows in _few_rows(logits)])

    def _metrics(
        self, rows: slice, logits: Float[Tensor, "n d_vocab"]
    ) -> Float[Tensor, "n metric"]:
        seen = _Distribution(logits)
        # Σ p (ln p − ln q) without ever forming ln p or ln q
        kl = self._negative_entropy[rows] - (vecdot(self._p[rows], logits) - seen.total)
        entropy = seen.total - vecdot(seen.weight, logits) / seen.mass
        nll, log_rank = self._at_next(rows, logits, seen.total)
        agreement = self._agrees(rows, logits, seen.highest).to(logits.dtype)
        return torch.stack([kl.clamp(min=0), nll, agreement, log_rank, entropy], dim=-1)

    def _agrees(
        self, rows: slice, logits: Float[Tensor, "n d_vocab"], highest: Float[Tensor, " n"]
    ) -> Bool[Tensor, " n"]:
        """Whether the first choice is the same; finding its index is slow, so only where it may."""
        top = self._top[rows]
        found = logits.gather(-1, top[:, None])[:, 0] == highest
        likely = found.nonzero()[:, 0]
        found[likely] = logits[likely].argmax(dim=-1) == top[likely]
        return found

    def _at_next(
        self, rows: slice, logits: Float[Tensor, "n d_vocab"], total: Float[Tensor, " n"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Return −ln q(next) and ln of its rank, NaN where there is no next token."""
        if not self._is_known:
            missing = torch.full_like(total, torch.nan)
            return missing, missing
        following = self._following[rows]
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
