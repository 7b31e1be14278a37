"""What a patch is judged by: one number of the logits after the last token."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

UNITS = {"logit-difference": "logits", "probability": "probability", "kl": "nats"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Judge:
    """The metric of every pair: logit(answer) − logit(wrong), p(answer), or −KL(clean‖·)."""

    metric: str
    answers: Int[Tensor, " pair"]
    wrong: Int[Tensor, " pair"]
    clean: Float[Tensor, "pair d_vocab"]

    def __call__(
        self, logits: Float[Tensor, "row d_vocab"], pairs: Sequence[int]
    ) -> Float[Tensor, " row"]:
        """Judge rows of logits, each by the answers of its pair."""
        where = torch.tensor(list(pairs), device=logits.device)
        x = logits.to(torch.promote_types(logits.dtype, torch.float32))
        answers = self.answers.to(x.device)[where, None]
        if self.metric == "logit-difference":
            gap: Tensor = x.gather(1, answers) - x.gather(1, self.wrong.to(x.device)[where, None])
            return gap[:, 0]
        logp = torch.log_softmax(x, dim=-1)
        if self.metric == "probability":
            return logp.gather(1, answers)[:, 0].exp()
        target = self.clean.to(x.device)[where]
        kl: Tensor = (target.exp() * (target - logp)).nan_to_num().sum(dim=-1)
        return -kl


def judge_of(
    metric: str,
    given: Sequence[tuple[int | None, int | None]],
    clean: Float[Tensor, "pair d_vocab"],
    corrupted: Float[Tensor, "pair d_vocab"],
) -> Judge:
    """Return the metric; an answer that is not given is what the text makes the model say first."""
    first = torch.tensor([a for a, _ in given_or(given, clean, corrupted)])
    second = torch.tensor([b for _, b in given_or(given, clean, corrupted)])
    return Judge(
        metric=metric, answers=first, wrong=second, clean=clean.float().log_softmax(dim=-1)
    )


def given_or(
    given: Sequence[tuple[int | None, int | None]], clean: Tensor, corrupted: Tensor
) -> list[tuple[int, int]]:
    """Fill answers in with the likeliest token of the clean and of the corrupted text.

    Where both texts have the same one, the second likeliest of the corrupted text is the other.
    """
    found = []
    for (answer, wrong), a, b in zip(given, clean, corrupted, strict=True):
        first = int(a.argmax()) if answer is None else answer
        likely = [int(i) for i in b.topk(2).indices]
        other = likely[0] if likely[0] != first else likely[1]
        found.append((first, other if wrong is None else wrong))
    return found
