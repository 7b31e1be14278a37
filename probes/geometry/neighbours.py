"""Two-NN intrinsic dimension of samples of tokens, one per layer."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from probes.geometry.twins import distinct

DISCARD = 0.1
# Below this share of a squared length single precision might choose another neighbour.
_CLOSE = 0.01
# How many rows of distances stay in the cache of a processor.
_ROWS = 256
_EQUIDISTANT = 1e-6
_FEW = "fewer than three tokens differ from all others"
_EQUAL = "every token has its two nearest neighbours at the same distance"


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoNN:
    """The dimension by maximum likelihood and by the slope, and without each group of texts.

    It rests on `n` tokens, of which `sizes` count those of each group; `twins` were left out.
    NaN is undefined, for the reason told.
    """

    likelihood: Float[np.ndarray, " layer"]
    slope: Float[np.ndarray, " layer"]
    reasons: list[str]
    left_out: Float[np.ndarray, "layer group"]
    sizes: Float[np.ndarray, "layer group"]
    n: Int[np.ndarray, " layer"]
    twins: Int[np.ndarray, " layer"]


def two_nn(x: Float[Tensor, "layer n d_model"], groups: Int[np.ndarray, " n"]) -> TwoNN:
    """Estimate the dimension from the ratio of the two nearest distances.

    Likelihood: (N′ − 1)/Σ ln(r₂/r₁). Slope: of −ln(1 − F) on ln(r₂/r₁) through the origin,
    without the largest tenth. Of tokens with the same vector one is kept and the others are
    dropped before any distance is measured: a copy left as a neighbour would stand at the first
    distance of its twin's neighbours twice. Nearest distances cannot be bootstrapped, since
    copies lie at distance zero; leaving groups out can.

    Source: Facco et al. 2017, doi:10.1038/s41598-017-11873-y.
    """
    order = np.argsort(groups, kind="stable")
    present, member = np.unique(groups[order], return_inverse=True)
    sorted_x = x[:, torch.from_numpy(order).to(x.device)]
    kept = np.stack([distinct(one) for one in x.cpu().numpy()])[:, order]
    found = [
        _of_layer(one[torch.from_numpy(there).to(x.device)], member[there], len(present))
        for one, there in zip(sorted_x, kept, strict=True)
    ]
    values = np.array([value for value, _, _ in found])
    n = kept.sum(axis=1)
    sizes = np.stack([kept[:, member == g].sum(axis=1) for g in range(len(present))], axis=1)
    several = len(present) > 1
    return TwoNN(
        likelihood=values[:, 0],
        slope=values[:, 1],
        reasons=[reason for _, _, reason in found],
        left_out=np.array([left for _, left, _ in found]) if several else values[:, :0],
        sizes=sizes.astype(np.float64)[:, : len(present) if several else 0],
        n=n,
        twins=kept.shape[1] - n,
    )


def _of_layer(
    x: Float[Tensor, "n d_model"], member: Int[np.ndarray, " n"], n_groups: int
) -> tuple[tuple[float, float], list[float], str]:
    """Return both dimensions of one layer, the first without each group, and why there is none."""
    distance, group = _nearest(x - x.mean(dim=0), member)
    ratios = _log_ratios(distance[:, 0], distance[:, 1])
    value, reason = _likelihood(ratios)
    without = _without_each(distance, group, member, n_groups)
    return (value, np.nan if reason else _slope(ratios)), without, reason


def _without_each(
    distance: Float[np.ndarray, "n four"],
    group: Int[np.ndarray, "n four"],
    member: Int[np.ndarray, " n"],
    n_groups: int,
) -> list[float]:
    """Return the likelihood dimension without each group, whose tokens are no neighbours either.

    Of four neighbours at most two belong to a group, so two are left. Only tokens that had one of
    their two nearest in the group have others.
    """
    if distance.shape[1] < 4:
        return [np.nan] * n_groups
    (one, two, three, four), (g1, g2, g3, _) = distance.T, group.T
    base = _log_ratios(one, two)
    second = np.where(g3 == g1, four, three)
    first_gone = np.where(g1 == g2, _log_ratios(three, four), _log_ratios(two, second))
    second_gone = _log_ratios(one, np.where(g3 == g2, four, three))
    without = []
    for g in range(n_groups):
        left = np.where(g1 == g, first_gone, np.where(g2 == g, second_gone, base))
        without.append(_likelihood(left[member != g])[0])
    return without


def _nearest(
    x: Float[Tensor, "n d_model"], member: Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "n four"], Int[np.ndarray, "n four"]]:
    """Return each token's four smallest distances among its two smallest to each group.

    Whichever group is left out, the two nearest of the others are among them. Neighbours are
    chosen by single precision, by that of `x` where they are too close for it, and always
    measured by that of `x`. Missing neighbours are infinitely far.
    """
    search, rows = _Search.of(x.float(), member), torch.arange(len(x), device=x.device)
    step = _ROWS if x.device.type == "cpu" else len(x)
    found = [_measured(x, some, search.neighbours(some)) for some in rows.split(step)]
    square, at = (torch.cat(parts) for parts in zip(*found, strict=True))
    close = (square < _CLOSE * (x * x).sum(dim=1, keepdim=True)).any(dim=1).nonzero()[:, 0]
    if len(close) and x.dtype != torch.float32:
        search = _Search.of(x, member)
        for some in close.split(step):
            square[some], at[some] = _measured(x, some, search.neighbours(some))
    order = square.argsort(dim=1, stable=True)
    at_host = at.gather(1, order).cpu().numpy()
    return square.gather(1, order).sqrt().cpu().numpy(), np.where(at_host < 0, -1, member[at_host])


@dataclass(frozen=True, eq=False)
class _Search:
    """What squared distances less the squared length of the row are a product of."""

    left: Float[Tensor, "n k"]
    right: Float[Tensor, "k n"]
    group: Int[Tensor, " n"]
    in_group: Float[Tensor, "group n"]

    @classmethod
    def of(cls, x: Float[Tensor, "n d_model"], member: Int[np.ndarray, " n"]) -> "_Search":
        """Prepare the product; `in_group` is infinite at the tokens of each group, else zero."""
        length = (x * x).sum(dim=1, keepdim=True)
        group = torch.from_numpy(member).to(x.device)
        same = torch.arange(int(member.max()) + 1, device=x.device)[:, None] == group
        return cls(
            left=torch.cat([-2 * x, torch.ones_like(length)], dim=1),
            right=torch.cat([x, length], dim=1).T,
            group=group,
            in_group=torch.zeros_like(same, dtype=x.dtype).masked_fill_(same, torch.inf),
        )

    def neighbours(self, rows: Int[Tensor, " row"]) -> Int[Tensor, "row four"]:
        """Return the nearest tokens of some rows, two of a group at most, −1 where is none."""
        square = self.left.index_select(0, rows) @ self.right
        at, found = rows[:, None], []
        groups: list[Int[Tensor, " row"]] = []
        for _ in range(min(4, 2 * len(self.in_group))):
            square.scatter_(1, at, torch.inf)
            for group in groups[:-1]:
                full = (group == groups[-1]).nonzero()[:, 0]
                square[full] += self.in_group[group[full]]
            at = _least(square)
            is_missing = square.gather(1, at) == torch.inf
            found.append(at.masked_fill(is_missing, -1))
            groups.append(self.group[at[:, 0]])
        return torch.cat(found, dim=1)


def _least(x: Float[Tensor, "n k"]) -> Int[Tensor, "n 1"]:
    """Return the column of the least entry of each row."""
    if x.device.type == "cpu":  # where NumPy compares several at once
        return torch.from_numpy(x.numpy().argmin(axis=1))[:, None]
    return x.argmin(dim=1, keepdim=True)


def _measured(
    x: Float[Tensor, "n d_model"], rows: Int[Tensor, " row"], at: Int[Tensor, "row four"]
) -> tuple[Float[Tensor, "row four"], Int[Tensor, "row four"]]:
    """Return the squared distances to neighbours, infinite where there is none, and these."""
    own = x.index_select(0, rows)
    near = (x.index_select(0, one.clamp(min=0)) for one in at.unbind(dim=1))
    square = [(own - one).square().sum(dim=1) for one in near]
    return torch.stack(square, dim=1).masked_fill(at < 0, torch.inf), at


def _log_ratios(
    first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Return ln(r₂/r₁), NaN where a neighbour is missing or lies at distance zero."""
    found = np.full(len(first), np.nan)
    there = (first > 0) & np.isfinite(second)
    found[there] = np.log(second[there] / first[there])
    return found


def _likelihood(ratios: NDArray[np.float64]) -> tuple[float, str]:
    ratios = ratios[np.isfinite(ratios)]
    total = float(ratios.sum())
    if len(ratios) < 3:
        return np.nan, _FEW
    if total < _EQUIDISTANT * len(ratios):
        return np.nan, _EQUAL
    return (len(ratios) - 1) / total, ""


def _slope(ratios: NDArray[np.float64]) -> float:
    ratios = ratios[np.isfinite(ratios)]
    kept = int(len(ratios) * (1 - DISCARD))
    mu = np.sort(ratios)[:kept]
    y = -np.log(1 - np.arange(1, kept + 1) / len(ratios))
    return float((mu @ y) / (mu @ mu))
