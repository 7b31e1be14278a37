"""Learning the form of an answer by imitation, before any reward is met."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from reasoning.hybrid.demonstrations import Demonstration
from workbench.model.tokens import pad
from workbench.training.objective import RowObjective

_AT_ONCE = 64


class FormatObjective(RowObjective[Demonstration]):
    """Next-token loss on written responses, mean over tokens then responses, in nats."""

    def __init__(
        self,
        module: Any,
        parameters: Mapping[str, nn.Parameter],
        rows: Sequence[Demonstration],
        held_out: Sequence[Demonstration],
    ) -> None:
        """Train those parameters of a transformers model."""
        super().__init__(parameters, rows)
        self._module, self._held_out = module, held_out

    def losses(self, rows: Sequence[int], generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the loss of the rows in pieces."""
        for start in range(0, len(rows), _AT_ONCE):
            some = [self.rows[i] for i in rows[start : start + _AT_ONCE]]
            yield self._each(some).sum() / len(rows)

    @torch.no_grad()
    def validate(self) -> float:
        """Return the mean loss on held-out demonstrations."""
        total = 0.0
        for start in range(0, len(self._held_out), _AT_ONCE):
            total += float(self._each(self._held_out[start : start + _AT_ONCE]).sum())
        return total / len(self._held_out)

    def _each(self, demonstrations: Sequence[Demonstration]) -> Tensor:
        device = next(self._module.parameters()).device
        tokens = pad([(*one.prompt, *one.written) for one in demonstrations]).to(device)
        logits = self._module(
            input_ids=tokens.ids[:, :-1],
            attention_mask=tokens.mask[:, :-1].long(),
            position_ids=tokens.position_ids[:, :-1],
            use_cache=False,
        ).logits.float()
        found = cross_entropy(logits.transpose(1, 2), tokens.ids[:, 1:], reduction="none")
        starts = torch.tensor([len(one.prompt) - 1 for one in demonstrations], device=device)
        places = torch.arange(found.shape[1], device=device)
        counted = tokens.mask[:, 1:] & (places >= starts[:, None])
        summed: Tensor = found.masked_fill(~counted, 0.0).sum(dim=1)
        return summed / counted.sum(dim=1)
