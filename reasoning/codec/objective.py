"""What the training loop needs to train a codec: losses of sentences read and written again."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.training.adapter import Adapter
from workbench.training.lora_codec import LoraCodec, by_length
from workbench.training.objective import RowObjective

_DIGIT = re.compile(r"[0-9]")


class CodecObjective(RowObjective[Sequence[int]]):
    """Cross-entropy of every sentence given its own vector, in nats per token.

    In training, half of the sentences are disturbed before they are read, and the disturbed
    sentence is what must be written: each digit becomes a random one, and `noise` of the tokens
    become tokens of other sentences. So numbers and names are copied, not guessed.
    """

    def __init__(
        self,
        codec: LoraCodec,
        adapters: Mapping[str, Adapter],
        train: Sequence[str],
        valid: Sequence[str],
        *,
        noise: float,
        at_once: int,
    ) -> None:
        """Keep the sentences as ids; `at_once` bounds the positions of one pass."""
        weights = {
            f"{side}{name}": parameter
            for side, adapter in adapters.items()
            for name, parameter in adapter.parameters().items()
        }
        super().__init__(weights, codec.ids.of(train))
        self._codec, self._adapters, self._valid = codec, adapters, codec.ids.of(valid)
        self._noise, self._at_once = noise, at_once
        self._digits = digit_ids(codec.ids.tokenizer)

    def losses(self, rows: Sequence[int], generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the loss of sentences of like length, batch by batch."""
        yield from self._pieces(self._disturbed([self.rows[i] for i in rows], generator))

    def validate(self) -> float:
        """Return the loss on held-out sentences as they are."""
        return sum(float(piece) for piece in self._pieces(self._valid))

    def _pieces(self, rows: Sequence[Sequence[int]]) -> Iterator[Tensor]:
        total = sum(map(len, rows))
        for some in by_length([len(row) + 1 for row in rows], self._at_once):
            part = [rows[i] for i in some]
            with self._mixed():
                losses = self._codec.token_losses(self._codec.vectors(part), part)
            yield losses.sum() / total

    def _mixed(self) -> AbstractContextManager[object]:
        """Multiply in bfloat16 where that is faster; states, norms and sums stay in float32."""
        device = self._codec.encoder.device.type
        return torch.autocast(device, torch.bfloat16) if device == "cuda" else nullcontext()

    def _disturbed(
        self, rows: Sequence[Sequence[int]], generator: torch.Generator
    ) -> list[list[int]]:
        sizes = [len(row) for row in rows]
        ids = torch.tensor([i for row in rows for i in row])
        ends = torch.tensor(sizes).cumsum(0) - 1
        coins = torch.rand(len(rows), generator=generator) < 0.5
        changes = coins.repeat_interleave(torch.tensor(sizes))
        changes[ends] = False
        found = torch.where(changes, self._redrawn(ids, ends, generator), ids)
        return [part.tolist() for part in found.split(sizes)]

    def _redrawn(
        self, ids: Int[Tensor, " token"], ends: Int[Tensor, " n"], generator: torch.Generator
    ) -> Int[Tensor, " token"]:
        """Exchange some tokens for others of the batch, and every digit for a random one."""
        inside = torch.ones(len(ids), dtype=torch.bool)
        inside[ends] = False
        pool = ids[inside] if bool(inside.any()) else ids
        other = pool[torch.randint(len(pool), ids.shape, generator=generator)]
        mixed = torch.where(torch.rand(ids.shape, generator=generator) < self._noise, other, ids)
        if not len(self._digits):
            return mixed
        digits = self._digits[torch.randint(len(self._digits), ids.shape, generator=generator)]
        return torch.where(torch.isin(mixed, self._digits), digits, mixed)


def digit_ids(tokenizer: Any) -> Int[Tensor, " digit"]:
    """Return the ids of tokens that are one digit each."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    return torch.tensor(sorted(i for word, i in vocabulary.items() if _DIGIT.fullmatch(word)))
