"""What the training loop needs to train a network on premises with many questions each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from causal.worlds.question_packs import Pack, PackSource
from workbench.model.model import Model
from workbench.model.tokens import token_ids
from workbench.sampling.choice_scores import LEAD
from workbench.sampling.items import YES_NO
from workbench.training.network import FullTuning

_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class _Batch:
    ids: Int[Tensor, "batch pos"]
    positions: Int[Tensor, "batch pos"]
    visible: Float[Tensor, "batch 1 pos pos"]
    ends: Int[Tensor, "answer 2"]
    answers: Int[Tensor, " answer"]


class QuestionObjective:
    """Cross-entropy of the answers, of premises drawn anew for every step, in nats per answer.

    The questions of a premise stand behind it side by side: each sees the premise and itself, at
    the positions that it has alone. A validation gives the loss on held-out premises.
    """

    def __init__(
        self, base: Model, source: PackSource, *, batch: int, held_out: Sequence[Pack]
    ) -> None:
        """Copy the weights and find the tokens of both answers."""
        self.tuning, self._source = FullTuning(base), source
        self._module: Any = self.tuning.module
        self._tokenizer, self.n_rows, self._held = base.tokenizer, batch, held_out
        self._known: dict[str, list[int]] = {}
        self._answers = torch.tensor([self._ids(f" {word}")[0] for word in YES_NO])

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The weights of the network."""
        return self.tuning.parameters()

    def losses(self, rows: Sequence[int], generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the loss of as many new premises."""
        seed = int(torch.randint(2**62, (1,), generator=generator))
        packs = self._source.draw(len(rows), np.random.default_rng(seed), held_out=False)
        yield self._loss(self._batch(packs))

    def validate(self) -> float:
        """Return the loss on held-out premises."""
        total, n = 0.0, 0
        for start in range(0, len(self._held), _AT_ONCE):
            batch = self._batch(self._held[start : start + _AT_ONCE])
            total += float(self._loss(batch)) * len(batch.answers)
            n += len(batch.answers)
        return total / n

    def spelling(self) -> dict[str, Tensor]:
        """Return the token of each answer; the model holds all else."""
        return {"answers": self._answers.clone()}

    def _loss(self, batch: _Batch) -> Tensor:
        states = self._module.base_model(
            input_ids=batch.ids,
            attention_mask=batch.visible,
            position_ids=batch.positions,
            use_cache=False,
        ).last_hidden_state
        logits = self._module.get_output_embeddings()(states[batch.ends[:, 0], batch.ends[:, 1]])
        return nn.functional.cross_entropy(logits.float(), self._answers[batch.answers])

    def _batch(self, packs: Sequence[Pack]) -> _Batch:
        rows = [
            [self._ids(pack.premise), *(self._ids(q + LEAD) for q in pack.questions)]
            for pack in packs
        ]
        width = max(sum(map(len, row)) for row in rows)
        ids, positions = (torch.zeros(len(rows), width, dtype=torch.long) for _ in range(2))
        part = torch.full((len(rows), width), -1)
        ends = []
        for i, (told, *asked) in enumerate(rows):
            sizes = [len(told), *map(len, asked)]
            at = np.cumsum([0, *sizes])
            ids[i, : at[-1]] = torch.tensor([*told, *(t for one in asked for t in one)])
            part[i, : at[-1]] = torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes))
            starts = [0, *[len(told)] * len(asked)]
            own = [start + j for start, n in zip(starts, sizes, strict=True) for j in range(n)]
            positions[i, : at[-1]] = torch.tensor(own)
            ends += [(i, int(end) - 1) for end in at[2:]]
        return _Batch(
            ids=ids,
            positions=positions,
            visible=_visible(part),
            ends=torch.tensor(ends),
            answers=torch.tensor([int(not yes) for pack in packs for yes in pack.answers]),
        )

    def _ids(self, text: str) -> list[int]:
        if text not in self._known:
            self._known[text] = list(token_ids(self._tokenizer, text, special_tokens=False))
        return self._known[text]


def _visible(part: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch 1 pos pos"]:
    """Return 0 where a token sees another, else the least number; part 0 is the premise.

    Tokens of the padding see themselves, since a row that sees nothing has no softmax.
    """
    query, key = part[:, :, None], part[:, None, :]
    width = part.shape[1]
    past = torch.ones(width, width, dtype=torch.bool).tril()
    seen = ((query == key) | (key == 0)) & (key >= 0) & past
    seen |= torch.eye(width, dtype=torch.bool)
    least = torch.finfo(torch.float32).min
    return torch.zeros(seen.shape).masked_fill(~seen, least)[:, None]
