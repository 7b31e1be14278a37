"""Training to answer after thoughts that stand in place of the first written steps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from workbench.latent.thoughts import Marks
from workbench.model.caches import new_key_value_cache
from workbench.model.tokens import pad
from workbench.training.lines import Lines, Worked, block
from workbench.training.network import Network, Tuning
from workbench.training.objective import RowObjective

_Row = tuple[list[int], list[int]]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of the curriculum: how many written steps are left out, how many thoughts come.

    `feeds_states` feeds the newest state as the next thought; otherwise the pause is fed.
    """

    replaced: int
    thoughts: int
    feeds_states: bool = True


def marks_of(network: Network, lines: Lines) -> Marks:
    """Return fresh trainable marks: copies of the line break's embedding.

    Source: Hao et al. 2024, whose marks are copies of a token's embedding too.
    """
    start = network.embed(torch.tensor([[lines.newline]]))[0, 0].detach().float()
    return Marks(**{name: nn.Parameter(start.clone()) for name in ("begin", "end", "pause")})


class ThoughtObjective(RowObjective[_Row]):
    """Next-token loss on what is still written after the thoughts, in nats per token.

    The answer sentence is always written. n thoughts take n passes over one position each, one
    after the other over a cache; gradients flow through all of them.

    Source: Hao et al. 2024, arXiv:2412.06769, section 3 and appendix.
    """

    def __init__(
        self,
        weights: Tuning,
        marks: Marks,
        lines: Lines,
        problems: tuple[Sequence[Worked], Sequence[Worked]],
        stage: Stage,
        *,
        piece: int = 64,
    ) -> None:
        """Train on the first problems, choose by the second."""
        self._network, self._marks = Network(weights.module), marks
        self._lines, self._stage, self._piece = lines, stage, piece
        train, self._valid = ([self._row(w) for w in some] for some in problems)
        own = {f"marks.{n}": cast(nn.Parameter, v) for n, v in marks.tensors().items()}
        super().__init__({**weights.parameters(), **own}, train)

    def losses(self, rows: Sequence[int], generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the loss of a few problems at a time."""
        yield from self._pieces([self.rows[i] for i in rows])

    @torch.no_grad()
    def validate(self) -> float:
        """Return the loss on held-out problems."""
        return sum(float(piece) for piece in self._pieces(self._valid))

    def _row(self, worked: Worked) -> _Row:
        lines = self._lines
        left_out = min(self._stage.replaced, len(worked.sentences) - 1)
        written = [i for s in worked.sentences[left_out:] for i in lines.sentence(s)]
        return lines.question(worked.question), [*written, lines.end]

    def _pieces(self, rows: Sequence[_Row]) -> Iterator[Tensor]:
        total = sum(len(written) for _, written in rows)
        for at in range(0, len(rows), self._piece):
            some = rows[at : at + self._piece]
            ids, mask = block([written for _, written in some], self._lines.pad)
            ids, mask = ids.to(self._network.device), mask.to(self._network.device)
            states = self.states([question for question, _ in some], ids, mask)
            logits = self._network.logits(states[mask])
            found = nn.functional.cross_entropy(logits, ids[mask], reduction="sum")
            yield found / total

    def states(
        self,
        questions: Sequence[Sequence[int]],
        ids: Int[Tensor, "batch pos"],
        mask: Bool[Tensor, "batch pos"],
    ) -> Float[Tensor, "batch pos d_model"]:
        """Return the state that each written token is told from; gradients flow."""
        network, n = self._network, self._stage.thoughts
        asked = pad(questions, side="left").to(network.device)
        between = asked.mask.new_ones(len(ids), n + 2)
        seen = torch.cat([asked.mask, between, mask[:, :-1]], dim=1)
        before = torch.cat([network.embed(asked.ids), self._mark("begin", ids)], dim=1)
        after = torch.cat([self._mark("end", ids), network.embed(ids[:, :-1])], dim=1)
        if not self._stage.feeds_states or n == 0:
            whole = torch.cat([before, *[self._mark("pause", ids)] * n, after], dim=1)
            return network.states(whole, seen)[:, -ids.shape[1] :]
        cache, width = new_key_value_cache(network.module), before.shape[1]
        thought = network.states(before, seen[:, :width], cache=cache)[:, -1:]
        for i in range(1, n):
            thought = network.states(thought, seen[:, : width + i], cache=cache)[:, -1:]
        # The last thought needs no state of its own: it is fed with what follows.
        last = torch.cat([thought, after], dim=1)
        return network.states(last, seen, cache=cache)[:, -ids.shape[1] :]

    def _mark(self, name: str, ids: Tensor) -> Tensor:
        vector = self._marks.tensors()[name].to(self._network.device, self._network.dtype)
        return vector.expand(len(ids), 1, -1)
