"""A residual energy that corrects what a factorised denoiser proposes, by importance weights."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import BadOption
from workbench.model.model import Model


class LeftToRightEnergy:
    """E(x₀) = log μ(x₀ | x_t) − log p(x₀) with p a left-to-right network and μ the denoiser.

    Weights exp(−E) of proposals from μ make them draws of p, whatever μ leaves out.

    Source: EDLM, arXiv:2410.21357, section 3.3 (the autoregressive form of the energy).
    """

    def __init__(self, model: Model, d_vocab: int) -> None:
        """Take a network with the vocabulary of the denoiser.

        Raises:
            BadOption: the vocabularies differ.
        """
        if model.spec.d_vocab != d_vocab:
            raise BadOption(
                f"the guide {model.spec.name} has {model.spec.d_vocab} tokens, the masked network "
                f"{d_vocab}; expected the same vocabulary",
                hint="the guide that was trained with it lies in left-to-right beside it",
            )
        self._module = model.backend.module

    @torch.no_grad()
    def log_weights(
        self,
        rows: Int[Tensor, "draw batch pos"],
        log_proposal: Float[Tensor, "draw batch"],
        start: int,
    ) -> Float[Tensor, "draw batch"]:
        """Return −E of whole rows; `log_proposal` is log μ of what is filled in from `start` on."""
        flat = rows.flatten(0, 1)
        logits = self._module(input_ids=flat, use_cache=False).logits
        log_p = logits[:, :-1].double().log_softmax(dim=-1)
        told = log_p.gather(-1, flat[:, 1:, None])[..., 0]
        log_joint: Tensor = told[:, max(start - 1, 0) :].sum(dim=1)
        return log_joint.view(log_proposal.shape) - log_proposal


def effective_sample_size(log_weights: Float[Tensor, "draw *batch"]) -> Float[Tensor, "*batch"]:
    """Return (Σw)² / Σw²: one where a single draw counts, all of them where they weigh the same."""
    w = (log_weights - log_weights.amax(dim=0)).exp()
    found: Tensor = w.sum(dim=0) ** 2 / (w**2).sum(dim=0)
    return found


def resample(
    log_weights: Float[Tensor, "draw batch"], uniform: Float[Tensor, " batch"]
) -> Int[Tensor, " batch"]:
    """Return the draw that each row takes: one with probability w / Σw, by inverting a uniform."""
    shares = log_weights.softmax(dim=0).cumsum(dim=0)
    return (shares < uniform).long().sum(dim=0).clamp(max=len(shares) - 1)
