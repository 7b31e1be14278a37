"""Contrastive scores of whole responses: every token's own, and what the vocabulary prefers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.contrast.losses import contrast
from probes.contrast.models import ContrastModels
from probes.contrast.sequences import Responses, Row, response_logits
from workbench.model.model import Model


@dataclass(frozen=True, kw_only=True, eq=False)
class Likely:
    """Log-probabilities of some tokens in nats: the contrast s, both models, and their base."""

    s: Float[Tensor, "*shape"]
    positive: Float[Tensor, "*shape"]
    negative: Float[Tensor, "*shape"]
    base: Float[Tensor, "*shape"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """One response: its own tokens, and at each place the tokens of highest s."""

    own: Likely
    preferred: Int[Tensor, "pos top"]
    of_preferred: Likely


def score(
    base: Model,
    models: ContrastModels,
    rows: Sequence[Row],
    *,
    beta: float,
    top: int = 5,
    at_once: int = 8,
) -> list[Scored]:
    """Score every response over the whole vocabulary; s sums to one at every place.

    Source: Lin et al. 2025, section 2: s is softmax((1 + β)·z_p − β·z_n) at the token.
    """
    found: list[Scored] = []
    with torch.no_grad():
        for start in range(0, len(rows), at_once):
            found += _score(base, models, rows[start : start + at_once], beta, top)
    return found


def _score(
    base: Model, models: ContrastModels, rows: Sequence[Row], beta: float, top: int
) -> Iterator[Scored]:
    positive, negative, plain = (
        response_logits(model, rows).log_softmax(dim=-1)
        for model in (models.positive, models.negative, base)
    )
    whole = (contrast(positive, negative, beta), positive, negative, plain)
    ids = Responses.of(rows, positive.device).ids[..., None]
    best = whole[0].topk(min(top, whole[0].shape[-1]), dim=-1).indices
    own = [x.gather(-1, ids)[..., 0].cpu() for x in whole]
    of_best = [x.gather(-1, best).cpu() for x in whole]
    for i, row in enumerate(rows):
        n = len(row.response)
        yield Scored(
            own=_likely([x[i, :n] for x in own]),
            preferred=best[i, :n].cpu(),
            of_preferred=_likely([x[i, :n] for x in of_best]),
        )


def _likely(parts: Sequence[Tensor]) -> Likely:
    s, positive, negative, base = parts
    return Likely(s=s, positive=positive, negative=negative, base=base)
