"""The latent model, which predicts the vector of the next sentence, and when to stop."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.training.lines import block
from workbench.training.network import CachedRun, Network, put

_STOP_WIDTHS = (192, 48)


class LatentHeads(nn.Module):
    """What stands around the latent network: two projections, one normalisation, a stop head.

    `p_in` maps a sentence vector into the network's input space and `p_out` an output vector to
    what the decoder reads. Everything that is fed to the network, a projected vector or one of
    its own outputs, passes the same `shared` normalisation: its root mean square is `gain`.

    Source: arXiv:2505.22202, section 3.3; the shared normalisation is ours. Without it, outputs
    fed back were ten times longer than the inputs trained on, and reasoning collapsed.
    """

    def __init__(self, d_model: int, *, scale: float, generator: torch.Generator) -> None:
        """Draw the weights; `scale` is the root mean square of a token embedding."""
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.p_in, self.p_out = _mlp(d_model), _mlp(d_model)
            first, second = _STOP_WIDTHS
            self.stop = nn.Sequential(
                *(nn.Linear(d_model, first), nn.GELU(), nn.Linear(first, second), nn.GELU()),
                nn.Linear(second, 1),
            )
        self.gain = nn.Parameter(torch.tensor(scale))
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.dim() > 1:
                    noise = torch.randn(parameter.shape, generator=generator)
                    parameter.copy_(noise / parameter.shape[1] ** 0.5)
                elif parameter.dim() == 1:
                    parameter.zero_()

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], d_model: int) -> "LatentHeads":
        """Return the heads kept in a checkpoint, frozen."""
        heads = cls(d_model, scale=1.0, generator=torch.Generator())
        heads.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        return heads.eval().requires_grad_(False)

    def shared(self, h: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """Bring vectors to the length that the network is fed."""
        return h * torch.rsqrt(h.square().mean(dim=-1, keepdim=True) + 1e-6) * self.gain

    def stop_logit(self, h: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch"]:
        """Return the log-odds that a vector stands for the last sentence."""
        logits: Tensor = self.stop(h)
        return logits[..., 0]


class LatentModel:
    """The latent network with its heads: sees a question and vectors, predicts the next vector."""

    def __init__(self, network: Network, heads: LatentHeads) -> None:
        """Join the two."""
        self.network, self.heads = network, heads

    def forward(
        self, questions: Sequence[Sequence[int]], fed: Sequence[Float[Tensor, "_ d_model"]]
    ) -> list[Float[Tensor, "steps d_model"]]:
        """Predict all next vectors in one causal pass.

        Row i is question i, then its vectors `fed[i]` (already normalised); output t is the
        prediction made before fed vector t, so each row yields one more than it was fed.
        """
        rows = [[*q, *[q[-1]] * len(v)] for q, v in zip(questions, fed, strict=True)]
        ids, mask = block(rows, 0)
        places = [
            (i, len(q) + t)
            for i, (q, v) in enumerate(zip(questions, fed, strict=True))
            for t in range(len(v))
        ]
        embeds = put(self.network.embed(ids), places, torch.cat(list(fed)))
        states = self.network.states(embeds, mask.to(embeds.device))
        return [
            states[i, len(q) - 1 : len(q) + len(v)]
            for i, (q, v) in enumerate(zip(questions, fed, strict=True))
        ]

    def start(
        self, questions: Sequence[Sequence[int]]
    ) -> tuple[CachedRun, Float[Tensor, "batch d_model"]]:
        """Run questions once; return what can be fed on and the first predictions."""
        ids, mask = block(questions, 0)
        run = CachedRun(self.network, len(ids))
        return run, run.append(self.network.embed(ids), mask)


def _mlp(d_model: int) -> nn.Sequential:
    parts: tuple[Any, ...] = (nn.Linear(d_model, d_model), nn.GELU(), nn.Linear(d_model, d_model))
    return nn.Sequential(*parts)
