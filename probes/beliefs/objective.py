"""What the training loop needs to train a network on sequences of a process."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from workbench.model.model import Model
from workbench.model.tokens import token_ids
from workbench.sampling.processes.process import Process, kl_of
from workbench.training.network import FullTuning, Network

_AT_ONCE = 256


class SequenceObjective:
    """Cross-entropy of the next token on sequences drawn anew for every step.

    A validation gives the cross-entropy in excess of the exact predictor on held-out sequences:
    KL(exact‖network), mean over positions, in nats per symbol.
    """

    def __init__(
        self, base: Model, process: Process, *, batch: int, length: int, held_out: np.ndarray
    ) -> None:
        """Copy the weights and spell the symbols in tokens, the first of a text apart."""
        self.tuning, self._process = FullTuning(base), process
        self._network = Network(self.tuning.module)
        self.n_rows, self._length = batch, length
        names = [(symbol, f" {symbol}") for symbol in process.symbols]
        spelt = [
            [token_ids(base.tokenizer, s, special_tokens=False)[0] for s in pair] for pair in names
        ]
        self._first, self._later = torch.tensor(spelt).T
        self._held = held_out
        self._log_next = process.exact(held_out).log_next[:, 1:-1]

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The weights of the network."""
        return self.tuning.parameters()

    def losses(self, rows: Sequence[int], generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the loss of as many new sequences."""
        seed = int(torch.randint(2**62, (1,), generator=generator))
        ids, _ = self._process.sample(len(rows), self._length, np.random.default_rng(seed))
        tokens = self._tokens(ids)
        logits = self._logits(tokens)[:, :-1]
        yield nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())

    def validate(self) -> float:
        """Return the excess over the exact predictor on held-out sequences."""
        total = []
        for start in range(0, len(self._held), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            logits = self._logits(self._tokens(self._held[part]))[:, :-1]
            told = torch.log_softmax(logits, dim=-1)[..., self._later]
            total.append(kl_of(self._log_next[part], told.double().numpy()))
        return float(np.concatenate(total).mean())

    def spelling(self) -> dict[str, Tensor]:
        """Return the token of each symbol, first in a text and later; the model holds all else."""
        return {"first": self._first.clone(), "later": self._later.clone()}

    def _tokens(self, ids: np.ndarray) -> Int[Tensor, "batch pos"]:
        symbols = torch.from_numpy(ids)
        tokens: Tensor = self._later[symbols]
        tokens[:, 0] = self._first[symbols[:, 0]]
        return tokens

    def _logits(self, tokens: Int[Tensor, "batch pos"]) -> Tensor:
        states = self._network.states(
            self._network.embed(tokens), torch.ones_like(tokens, dtype=torch.bool)
        )
        logits: Tensor = self._network.logits(states)
        return logits
