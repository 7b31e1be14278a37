"""Continuous thoughts: last states fed back between two marks, and what may be fed instead."""

from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import BadOption
from workbench.latent.inputs import LatentVector, Moment
from workbench.latent.replaced import in_place_of

Fed = Literal["state", "zero", "noise", "other", "shuffled"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Marks:
    """The vectors [d_model] before and after the thoughts, and the one that fills a pause."""

    begin: Float[Tensor, " d_model"]
    end: Float[Tensor, " d_model"]
    pause: Float[Tensor, " d_model"]

    def tensors(self) -> dict[str, Tensor]:
        """Return the vectors by name."""
        return {"begin": self.begin, "end": self.end, "pause": self.pause}


@dataclass(frozen=True, kw_only=True, eq=False)
class ThoughtInput:
    """Feed the first mark, `n` thoughts and the second mark; afterwards tokens.

    A thought is the final norm's output at the newest position, as it is; `is_pause` feeds the
    same learned vector in place of every thought. `fed` changes the thoughts, or the one counted
    `only` from 1: nought, a random direction of the thought's length (the same in every row), the
    thought of the row before in the batch, or the next of the thoughts `given`. While thinking, the
    likeliest token that does not end a text is shown: what would have been written in its place.

    Raises:
        BadOption: the thought of another row is wanted, and there is one row.

    Source: Hao et al. 2024, arXiv:2412.06769, section 3; replacements are ours.
    """

    marks: Marks
    n: int
    is_pause: bool = False
    fed: Fed = "state"
    only: int | None = None
    given: Float[Tensor, "batch n d_model"] | None = None
    ends: tuple[int, ...] = ()
    needs_hidden: bool = field(default=True, init=False)
    needs_noise: bool = field(default=False, init=False)

    @property
    def steps(self) -> int:
        """The number of steps before the first token of the response."""
        return self.n + 2

    def visible(self, now: Moment) -> Int[Tensor, " batch"] | None:
        """Show what a thought would have said; afterwards what was drawn."""
        if now.index >= self.steps:
            return None
        logits = now.logits.clone()
        logits[:, list(self.ends)] = float("-inf")
        return logits.argmax(dim=-1)

    def next_input(self, now: Moment) -> LatentVector | None:
        """Return the mark or thought that is due, None once tokens are."""
        if now.index >= self.steps or now.hidden is None:
            return None
        if now.index in (0, self.n + 1):
            mark = self.marks.end if now.index else self.marks.begin
            return LatentVector(vector=mark.float().expand(len(now.tokens), -1))
        return LatentVector(vector=self._thought(now.hidden.float(), now.index))

    def _thought(self, state: Float[Tensor, "batch d_model"], index: int) -> Tensor:
        if self.is_pause:
            return self.marks.pause.float().expand_as(state)
        if self.fed == "state" or self.only not in (None, index):
            return state
        if self.fed == "shuffled":
            return self._given(index)
        return in_place_of(state, self.fed, index)

    def _given(self, index: int) -> Tensor:
        if self.given is None:
            raise BadOption("thoughts are to be shuffled, and none were given")
        # Each stands where the one before it stood, so that none stays in its place.
        return self.given[:, index % self.n]
