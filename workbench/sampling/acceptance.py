"""When drafted tokens may be kept so that what is written follows the model's own distribution."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_HALVINGS = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Verified:
    """What became of a block of drafts.

    `tokens` are those to write, −1 behind the last; `accepted` of them were drafted and one more
    was drawn. `path` is a draft that begins with the accepted ones.
    """

    tokens: Int[Tensor, "n pos"]
    accepted: Int[Tensor, " n"]
    path: Int[Tensor, " n"]


def overlap(
    p: Float[Tensor, "*shape d_vocab"], q: Float[Tensor, "*shape d_vocab"]
) -> Float[Tensor, "*shape"]:
    """Return Σ min(p, q) = 1 − total variation: how often a draft from p is accepted for q."""
    return torch.minimum(p, q).sum(dim=-1)


def gaussian_overlap(distance: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return 2Φ(−δ/2), the acceptance between unit Gaussians whose means lie δ apart.

    Source: Wang et al. 2024, Continuous Speculative Decoding, arXiv:2411.11925, accepts x with
    min(1, p(x)/q(x)) on densities.
    """
    found: Tensor = torch.special.erfc(distance.abs() / (2 * math.sqrt(2)))
    return found


def tokens_per_call(acceptance: float, length: int) -> float:
    """Return (1 − a^{γ+1})/(1 − a), the mean tokens that a call of the model gives.

    Source: Leviathan et al. 2023, arXiv:2211.17192, equation 1: `length` drafted tokens, each
    accepted independently.
    """
    return float(sum(acceptance**n for n in range(length + 1)))


def draft_bound(
    p: Float[Tensor, "*shape d_vocab"], q: Float[Tensor, "*shape d_vocab"], drafts: int
) -> Float[Tensor, "*shape"]:
    """Return Σ min(q, 1 − (1 − p)^k), which no rule can exceed with k independent drafts."""
    return torch.minimum(q, 1 - (1 - p) ** drafts).sum(dim=-1)


def k_seq_ratio(
    p: Float[Tensor, "n d_vocab"], q: Float[Tensor, "n d_vocab"], drafts: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Return the ρ of K-SEQ: the root of 1 − (1 − β(ρ))^k = ρ·β(ρ), β(ρ) = Σ min(p, q/ρ).

    Rounded upwards, where the rule stays exact.

    Source: Sun et al. 2023, SpecTr, arXiv:2310.15141, algorithm 2.
    """
    low, high = torch.ones_like(p[:, 0]), drafts.clamp(min=1).to(p)
    if bool((drafts > 1).any()):
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            beta = _beta(p, q, middle)
            above = 1 - (1 - beta) ** drafts > middle * beta
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return high


def _beta(p: Tensor, q: Tensor, ratio: Tensor) -> Tensor:
    return torch.minimum(p, q / ratio[:, None]).sum(dim=-1)


def verify(
    p: Float[Tensor, "n k length d_vocab"],
    q: Float[Tensor, "n k more d_vocab"],
    drafts: Int[Tensor, "n k length"],
    generator: torch.Generator,
) -> Verified:
    """Keep drafts by K-SEQ; what is written has exactly the distribution of the model.

    Each of k drafts was drawn independently from p, token by token; q are the model's
    probabilities before each drafted token and after the last. With k = 1 a token is accepted
    with min(1, q/p). `n` blocks are judged at once.

    Source: Sun et al. 2023, SpecTr, arXiv:2310.15141, algorithms 2 and 3; k = 1 is Leviathan et
    al. 2023, arXiv:2211.17192.
    """
    n, k, length = drafts.shape
    p, q = p.double(), q.double()
    rows = torch.arange(n, device=drafts.device)
    alive = torch.ones((n, k), dtype=torch.bool, device=drafts.device)
    path = torch.zeros(n, dtype=torch.long, device=drafts.device)
    running = torch.ones_like(alive[:, 0])
    tokens = torch.full((n, length + 1), -1, dtype=torch.long, device=drafts.device)
    accepted = torch.zeros_like(path)
    for at in range(length):
        before, wanted = p[rows, path, at], q[rows, path, at]
        chosen, rest = _choose(before, wanted, drafts[:, :, at], alive, generator)
        refused = running & (chosen < 0)
        tokens[:, at] = torch.where(running & ~refused, chosen, tokens[:, at])
        tokens[refused, at] = _drawn(rest[refused], generator)
        running = running & ~refused
        accepted += running
        alive = alive & running[:, None] & (drafts[:, :, at] == chosen[:, None])
        path = torch.where(running, alive.long().argmax(dim=1), path)
    tokens[running, length] = _drawn(q[rows, path, length][running], generator)
    return Verified(tokens=tokens, accepted=accepted, path=path)


def _choose(
    p: Float[Tensor, "n d_vocab"],
    q: Float[Tensor, "n d_vocab"],
    drafts: Int[Tensor, "n k"],
    alive: Bool[Tensor, "n k"],
    generator: torch.Generator,
) -> tuple[Int[Tensor, " n"], Float[Tensor, "n d_vocab"]]:
    """Return the first accepted draft of each row, −1 if there is none, and what is left of q."""
    m = alive.sum(dim=1)
    ratio = k_seq_ratio(p, q, m)
    chance = q.gather(1, drafts) / (ratio[:, None] * p.gather(1, drafts))
    u = torch.rand(drafts.shape, generator=generator, dtype=p.dtype, device=generator.device)
    accepts = alive & (u.to(p.device) < chance)
    first = accepts.long().argmax(dim=1, keepdim=True)
    chosen = torch.where(accepts.any(dim=1), drafts.gather(1, first)[:, 0], -1)
    beta = _beta(p, q, ratio).clamp(min=torch.finfo(p.dtype).tiny)
    share = (1 - (1 - beta) ** m) / beta
    rest = (q - torch.minimum(p, q / ratio[:, None]) * share[:, None]).clamp(min=0)
    # Where p equals q nothing is left but rounding, and nothing is refused but by rounding.
    return chosen, torch.where(rest.sum(dim=1, keepdim=True) > 0, rest, q)


def _drawn(p: Float[Tensor, "n d_vocab"], generator: torch.Generator) -> Int[Tensor, " n"]:
    if len(p) == 0:
        return torch.zeros(0, dtype=torch.long, device=p.device)
    on_its_device = p.to(generator.device)
    return torch.multinomial(on_its_device, 1, generator=generator)[:, 0].to(p.device)
