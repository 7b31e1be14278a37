"""What one forward pass says about every token of a text, and of the same text in no order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.model.model import Model
from workbench.model.sites import Site
from workbench.model.tokens import Tokens

_ENDS = (".", "!", "?", "…", "。", "！", "？", "؟", "।")
_CLOSERS = "\"'”’)]»"


@dataclass(frozen=True, kw_only=True, eq=False)
class PerToken:
    """The tokens of one text with what was measured at each.

    `surprisal[0]` is NaN: nothing stands before the first token.
    """

    ids: list[int]
    words: list[str]
    surprisal: Float[np.ndarray, " pos"]
    entropy: Float[np.ndarray, " pos"]
    norms: Float[np.ndarray, "layer pos"]
    best: list[str]
    best_probability: Float[np.ndarray, " pos"]


def measure(model: Model, tokens: Tokens, sites: Sequence[Site]) -> PerToken:
    """Run one text and reduce every position to a few numbers.

    Entropy is −Σ p ln p of the distribution over the token to come, surprisal −ln p of the token
    that stands there, both in nats; a norm is ‖x‖₂.
    """
    trace = model.run(tokens, read=sites, logits="all")
    if trace.logits is None:
        raise RuntimeError("the backend returned no logits")
    logp = torch.log_softmax(trace.logits[0].float(), dim=-1)
    entropy = -(logp.exp() * logp.nan_to_num(neginf=0.0)).sum(dim=-1)
    ids = tokens.row(0)
    surprisal = torch.full((len(ids),), torch.nan)
    following = torch.tensor(ids[1:], device=logp.device, dtype=torch.long)[:, None]
    surprisal[1:] = -logp[:-1].gather(1, following)[:, 0].cpu()
    top = logp.max(dim=-1)
    return PerToken(
        ids=ids,
        words=[model.decode([i]) for i in ids],
        surprisal=_array(surprisal),
        entropy=_array(entropy),
        norms=np.stack([_array(trace.row(0, site).float().norm(dim=-1)) for site in sites]),
        best=[model.decode([int(i)]) for i in top.indices],
        best_probability=_array(top.values.exp()),
    )


def shuffled(tokens: Tokens, generator: np.random.Generator) -> Tokens:
    """Return a text's tokens in random order, the first one left in its place."""
    order = np.concatenate([[0], 1 + generator.permutation(tokens.ids.shape[1] - 1)])
    ids = tokens.ids[:, torch.as_tensor(order, device=tokens.ids.device)]
    return replace(tokens, ids=ids, texts=(), offsets=())


def ends_sentence(words: Sequence[str]) -> list[bool]:
    """Mark tokens that end a sentence: a full stop, question or exclamation mark, or a line end.

    A mark counts only where blank space or the end of the text follows, so that 3.14 is whole.
    """
    marked = []
    for i, word in enumerate(words):
        bare = word.rstrip().rstrip(_CLOSERS)
        after = words[i + 1] if i + 1 < len(words) else " "
        closed = bare.endswith(_ENDS) and (word[-1:].isspace() or after[:1].isspace())
        marked.append(closed or "\n" in word)
    return marked


def _array(x: Tensor) -> Float[np.ndarray, " pos"]:
    return x.detach().cpu().double().numpy()
