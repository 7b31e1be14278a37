"""How much of what is fed is latent: three hidden ratios, each by its own name."""

from collections.abc import Sequence

import torch

from workbench.latent.gate import Gate
from workbench.latent.mixture import EmbeddingTable, Mixture
from workbench.latent.replay import LatentRollout

RATIOS = ("ratio_of_mean", "mean_ratio", "norm_share")
_MOST = 512


@torch.no_grad()
def hidden_ratios(
    gate: Gate | None, table: EmbeddingTable, rollouts: Sequence[LatentRollout]
) -> dict[str, float | None]:
    """Return the ratios over the latent steps of some rollouts, None where there are none.

    - `ratio_of_mean` is √(1−ā²), ā the mean over steps and dimensions: what the released code
      logs, never below the next.
    - `mean_ratio` is the mean of √(1−a²).
    - `norm_share` is the mean of ‖s⊙i⊙h‖ / (‖a⊙ê‖ + ‖s⊙i⊙h‖).
    """
    latent = [rollout for rollout in rollouts if bool(rollout.latent.any())]
    if gate is None or not latent:
        return dict.fromkeys(RATIOS)
    tokens = torch.cat([torch.tensor(r.response)[r.latent] for r in latent])[:_MOST]
    ids = torch.cat([r.ids[r.latent] for r in latent])[:_MOST]
    weights = torch.cat([r.weights[r.latent] for r in latent])[:_MOST]
    device = gate.lam.device
    token = table.of(tokens).to(device).float()
    opening = gate.opening(token)
    h = table.spread(Mixture(weights=weights.to(device), ids=ids.to(device)))
    part, rest = (opening.s * opening.i * h).norm(dim=-1), (opening.a * token).norm(dim=-1)
    mean = float(opening.a.mean())
    return {
        "ratio_of_mean": (1 - mean**2) ** 0.5,
        "mean_ratio": float((1 - opening.a**2).clamp(min=0).sqrt().mean()),
        "norm_share": float((part / (part + rest)).mean()),
    }
