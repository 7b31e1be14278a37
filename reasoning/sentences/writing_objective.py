"""Training a network to write chains in words, and answers at once."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from workbench.training.lines import Lines, Worked, block, common_start
from workbench.training.network import Network, Tuning
from workbench.training.objective import RowObjective

Row = tuple[list[int], int]


class WritingObjective(RowObjective[Row]):
    """Next-token loss on everything after the question, in nats per token.

    Beside its chain, each problem of a batch is shown with probability `direct` once more with
    the answer alone. Its first words, the same in every answer, are given there and not learned,
    so that they ask for the answer without a chain: the baseline of the same network.

    Source: the paper trains that baseline as a network of its own (arXiv:2505.22202, section 4).
    """

    def __init__(
        self,
        tuning: Tuning,
        lines: Lines,
        train: Sequence[Worked],
        valid: Sequence[Worked],
        *,
        direct: float = 0.5,
        piece: int = 64,
    ) -> None:
        """Turn the problems into rows of ids."""
        self._network, self._lines = Network(tuning.module), lines
        self._direct, self._piece = direct, piece
        # The end of an answer is never part of what asks for it.
        answers = [lines.sentence(w.sentences[-1])[:-1] for w in train]
        self.lead = common_start([ids[:-1] for ids in answers])
        super().__init__(tuning.parameters(), [self._row(w) for w in train])
        self._short = [self._row(w, direct=True) for w in train]
        self._valid = [self._row(w) for w in valid]
        if direct > 0:
            self._valid += [self._row(w, direct=True) for w in valid]

    def losses(self, rows: Sequence[int], generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the loss of a few problems at a time."""
        also = torch.rand(len(rows), generator=generator) < self._direct
        short = [self._short[i] for i, shown in zip(rows, also.tolist(), strict=True) if shown]
        yield from self._pieces([*(self.rows[i] for i in rows), *short])

    def validate(self) -> float:
        """Return the loss on held-out problems."""
        return sum(float(piece) for piece in self._pieces(self._valid))

    def _pieces(self, rows: Sequence[Row]) -> Iterator[Tensor]:
        total = sum(len(ids) - start for ids, start in rows)
        for at in range(0, len(rows), self._piece):
            yield self._loss(rows[at : at + self._piece]) / total

    def _loss(self, rows: Sequence[Row]) -> Tensor:
        ids, mask = block([ids for ids, _ in rows], self._lines.pad)
        ids, mask = ids.to(self._network.device), mask.to(self._network.device)
        starts = torch.tensor([start for _, start in rows], device=ids.device)
        judged = mask & (torch.arange(ids.shape[1], device=ids.device) >= starts[:, None])
        states = self._network.states(self._network.embed(ids), mask)[:, :-1]
        logits = self._network.logits(states[judged[:, 1:]])
        return nn.functional.cross_entropy(logits, ids[:, 1:][judged[:, 1:]], reduction="sum")

    def _row(self, worked: Worked, *, direct: bool = False) -> Row:
        """Return the ids and where what is learned begins."""
        lines = self._lines
        written = worked.sentences[-1:] if direct else worked.sentences
        start = len(lines.question(worked.question)) + (len(self.lead) if direct else 0)
        return [*lines.prefix(worked.question, written), lines.end], start
