"""Two-NN intrinsic dimension of samples of tokens, one per layer."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from probes.geometry.twins import distinct

DISCARD = 0.1
_CANCELLED = 1e-6
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
        _of_layer(one - one[torch.from_numpy(there).to(x.device)].mean(dim=0), there, member)
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
    x: Float[Tensor, "n d_model"], kept: Bool[np.ndarray, " n"], member: Int[np.ndarray, " n"]
) -> tuple[tuple[float, float], list[float], str]:
    """Return both dimensions of one layer, the first without each group, and why there is none."""
    distance, group = _nearest(x, torch.from_numpy(~kept).to(x.device), member)
    value, reason = _likelihood(_log_ratios(distance[:, 0], distance[:, 1])[kept])
    without = _without_each(distance, group, kept, member)
    slope = np.nan if reason else _slope(_log_ratios(distance[:, 0], distance[:, 1])[kept])
    return (value, slope), without, reason


def _without_each(
    distance: Float[np.ndarray, "n four"],
    group: Int[np.ndarray, "n four"],
    kept: Bool[np.ndarray, " n"],
    member: Int[np.ndarray, " n"],
) -> list[float]:
    """Return the likelihood dimension without each group, whose tokens are no neighbours either.

    Of four neighbours at most two belong to a group, so two are left. Only tokens that had one of
    their two nearest in the group have others.
    """
    if distance.shape[1] < 4:
        return [np.nan] * (int(member.max()) + 1)
    (one, two, three, four), (g1, g2, g3, _) = distance.T, group.T
    base = _log_ratios(one, two)
    second = np.where(g3 == g1, four, three)
    first_gone = np.where(g1 == g2, _log_ratios(three, four), _log_ratios(two, second))
    second_gone = _log_ratios(one, np.where(g3 == g2, four, three))
    without = []
    for g in range(int(member.max()) + 1):
        left = np.where(g1 == g, first_gone, np.where(g2 == g, second_gone, base))
        without.append(_likelihood(left[kept & (member != g)])[0])
    return without


def _nearest(
    x: Float[Tensor, "n d_model"], twin: Bool[Tensor, " n"], member: Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "n four"], Int[np.ndarray, "n four"]]:
    """Return each token's four smallest distances among its two smallest to each group.

    Whichever group is left out, the two nearest of the others are among them. Tokens are in the
    order of their groups; missing neighbours are infinitely far.
    """
    length = (x * x).sum(dim=1)
    ones = torch.ones_like(length[:, None])
    # Squared distances less the squared length of the row, by one product.
    square = torch.cat([-2 * x, ones], dim=1) @ torch.cat([x, length[:, None]], dim=1).T
    square.fill_diagonal_(torch.inf)
    if bool(twin.any()):
        square[:, twin] = torch.inf
    ends = np.searchsorted(member, np.arange(int(member.max()) + 2)).tolist()
    near, index = [], []
    for a, b in pairwise(ends):
        part = square[:, a:b]
        for _ in range(2):
            at = _least(part)
            near.append(part.gather(1, at)[:, 0] + length)
            index.append(at[:, 0] + a)
            part.scatter_(1, at, torch.inf)
    best = torch.stack(near, dim=1)
    at_best = torch.stack(index, dim=1)
    best = _measured_again(x, best, at_best, length)
    width = min(4, best.shape[1])
    found = best.topk(width, dim=1, largest=False)
    return found.values.sqrt().cpu().numpy(), (found.indices // 2).cpu().numpy()


def _least(x: Float[Tensor, "n k"]) -> Int[Tensor, "n 1"]:
    """Return the column of the least entry of each row."""
    if x.device.type == "cpu":  # where NumPy compares several at once
        return torch.from_numpy(x.numpy().argmin(axis=1))[:, None]
    return x.argmin(dim=1, keepdim=True)


def _measured_again(
    x: Float[Tensor, "n d_model"],
    square: Float[Tensor, "n k"],
    at: Int[Tensor, "n k"],
    length: Float[Tensor, " n"],
) -> Float[Tensor, "n k"]:
    """Replace expanded squares that cancel by the squares of differences."""
    cancelled = square < _CANCELLED * (length[:, None] + length[at])
    if not bool(cancelled.any()):
        return square
    row, column = cancelled.nonzero(as_tuple=True)
    square[row, column] = (x[row] - x[at[row, column]]).square().sum(dim=1)
    return square


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
