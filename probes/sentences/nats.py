"""How many nats the vector of a chain's step saves of a sentence."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from probes.sentences.chains import Thought
from workbench.methods.contracts import Context
from workbench.training.codec import SentenceCodec
from workbench.training.sentence_model import SentenceModel

_OTHERS = 64
_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Teller:
    """Saved are log p(sentence | vector) − log p(sentence) nats, the sentence's end among them.

    p(sentence) is the mean over `vectors`, which are steps of other problems: what the decoder
    expects of a chain when it does not know which. `units` are the problems these come from; those
    of the problem that is asked about are left out.
    """

    codec: SentenceCodec
    p_out: Callable[[Tensor], Tensor]
    vectors: Float[Tensor, "other d_model"]
    units: tuple[int, ...]
    _known: dict[str, Tensor] = field(default_factory=dict, init=False)

    @classmethod
    def of(cls, trained: SentenceModel, thoughts: Sequence[Thought], context: Context) -> "Teller":
        """Take steps of these chains, in random order, as those of other problems."""
        steps = [(i, vector) for i, thought in enumerate(thoughts) for vector in thought.vectors]
        order = context.stream("sentence lens other steps").permutation(len(steps))[:_OTHERS]
        return cls(
            codec=trained.codec,
            p_out=trained.latent.heads.p_out,
            vectors=torch.stack([steps[i][1] for i in order]),
            units=tuple(steps[i][0] for i in order),
        )

    @torch.no_grad()
    def spoken(self, vectors: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_codec"]:
        """Return what the chain's decoder is given for such vectors."""
        return self.p_out(vectors.to(self.vectors))

    def saved(
        self,
        spoken: Float[Tensor, "n d_codec"],
        sentences: Sequence[str],
        units: Sequence[int],
    ) -> list[float | None]:
        """Return the nats saved of each sentence; None where no other problem has a step."""
        told = self._log_p(spoken, sentences).tolist()
        before = [self._prior(text, unit) for text, unit in zip(sentences, units, strict=True)]
        return [None if b is None else a - b for a, b in zip(told, before, strict=True)]

    def of_step(self, read: Thought, told: Thought, step: int, unit: int) -> float | None:
        """Return what one chain's vector saves of another's sentence at a step, None past an end.

        `step` is counted from 0, and `unit` is the problem of the chain whose sentence it is.
        """
        if not step < min(len(read.vectors), len(told.sentences)):
            return None
        (found,) = self.saved(self.spoken(read.vectors[step][None]), [told.sentences[step]], [unit])
        return found

    def _prior(self, sentence: str, unit: int) -> float | None:
        if sentence not in self._known:
            spoken = self.spoken(self.vectors)
            self._known[sentence] = self._log_p(spoken, [sentence] * len(spoken))
        others = [i for i, mine in enumerate(self.units) if mine != unit]
        if not others:
            return None
        return float(self._known[sentence][others].logsumexp(dim=0)) - math.log(len(others))

    @torch.no_grad()
    def _log_p(
        self, spoken: Float[Tensor, "n d_codec"], sentences: Sequence[str]
    ) -> Float[Tensor, " n"]:
        targets = [self.codec.lines.sentence(text) for text in sentences]
        found = [torch.zeros(0)]
        for start in range(0, len(targets), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            losses, _ = self.codec.token_losses(spoken[some].to(self.vectors), targets[some])
            found.append(-losses.sum(dim=1).double().cpu())
        return torch.cat(found)
