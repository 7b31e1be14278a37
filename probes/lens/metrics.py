"""What a lens at one layer says, against what the model says in the end."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.lens.target import METRICS, Columns, Target
from workbench.errors import InputError
from workbench.methods.contracts import Context
from workbench.model.device_memory import accelerator_of, device_memory

Unembed = Callable[[Tensor], Tensor]
Translate = Callable[[int, Tensor], Tensor]

# Tensors of rows × vocabulary alive at once, counting copies in 16 bits. An accelerator works on
# all rows of a product together, a processor on few at a time.
_ALIVE, _ALIVE_ON_ACCELERATOR = 3, 6

_MEMORY = 96  # MiB on a processor
_SHARE = 32  # one part in so many of an accelerator's memory


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
    many numbers the tensors over the vocabulary may hold together, `alive` how many such tensors
    there are at once.
    """

    unembed: Unembed
    translate: Translate
    d_vocab: int
    budget: int
    alive: int = _ALIVE

    @classmethod
    def of(cls, context: Context, translate: Translate, *, memory: int | None) -> "LensMath":
        """Return the lens of a model that may use so many MiB; None goes by the device.

        Raises:
            InputError: there is no model.
        """
        if context.spec is None or context.unembed is None:
            raise InputError("a lens needs a model", hint="activation files have no output head")
        device = accelerator_of(context.spec.device)
        usual = _MEMORY << 20 if device is None else device_memory(device) // _SHARE
        return cls(
            unembed=context.unembed,
            translate=translate,
            d_vocab=context.spec.d_vocab,
            budget=(usual if memory is None else memory << 20) // 4,
            alive=_ALIVE if device is None else _ALIVE_ON_ACCELERATOR,
        )

    @property
    def rows_at_once(self) -> int:
        """How many positions are unembedded together."""
        return rows_at_once(self.budget, self.d_vocab, self.alive)

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
        # Columns of one part of the targets lie together, so that a part is a slice.
        part = target // self.rows_at_once
        order = part.argsort(stable=True)
        columns = Columns.of(target[order], is_named[order], final)
        is_sorted = bool((part[1:] >= part[:-1]).all())
        kept = list(states) if is_sorted else taken([*states], order)
        ends = part.bincount(minlength=-(-len(final) // self.rows_at_once)).cumsum(0).tolist()
        found = final.new_empty(len(kept), len(target), len(METRICS) + 1, dtype=torch.float64)
        for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            first = number * self.rows_at_once
            rows = slice(first, first + self.rows_at_once)
            goal = Target(final[rows], self._logits(final[rows]), following[rows])
            for sites, some in self._products(len(kept), start, end):
                # Products of few rows are half as fast, so that several sites share one.
                h = torch.cat([self.translate(i, kept[i][some]).to(final.device) for i in sites])
                wanted = columns.of_part(some, first, len(sites))
                numbers = goal.compare(self._logits(h), h, wanted)
                found[sites.start : sites.stop, some] = numbers.view(len(sites), -1, found.shape[2])
        values = torch.empty(found.shape, dtype=found.dtype)
        values[:, order] = found.cpu()
        best = values[..., -1].long().masked_fill(~is_named, -1)
        return Comparison(values=values[..., :-1], best=best)

    def _products(self, n_sites: int, start: int, end: int) -> Iterator[tuple[range, slice]]:
        """Yield the sites and columns that are unembedded together."""
        if start == end:
            return
        at_once = max(1, self.rows_at_once // (end - start))
        parts = torch.arange(start, end).tensor_split(-(-(end - start) // self.rows_at_once))
        for first in range(0, n_sites, at_once):
            for part in parts:
                some = slice(int(part[0]), int(part[-1]) + 1)
                yield range(first, min(first + at_once, n_sites)), some

    def _logits(self, h: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_vocab"]:
        return self.unembed(h).float()


def untranslated(_: int, h: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_model"]:
    """Return the states as they are."""
    return h


def rows_at_once(budget: int, d_vocab: int, n_alive: int) -> int:
    """How many rows over the vocabulary fit `budget` numbers, `n_alive` tensors of them."""
    return max(1, budget // (n_alive * d_vocab))


def taken(
    states: Sequence[Float[Tensor, "n d_model"]], rows: Int[Tensor, " m"]
) -> list[Float[Tensor, "m d_model"]]:
    """Return those rows of every site; their numbers are copied once to each device."""
    there: dict[torch.device, Tensor] = {}
    for x in states:
        if x.device not in there:
            there[x.device] = rows.to(x.device)
    return [x.index_select(0, there[x.device]) for x in states]
