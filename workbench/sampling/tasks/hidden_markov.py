"""Sequences of hidden Markov models, with exact beliefs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.processes.hidden_markov import (
    HiddenMarkov,
    mess3,
    random_process,
    zero_one_random,
)
from workbench.sampling.processes.sequences import SequenceTask


@register("task", "hidden-markov", source="Shai et al. 2024, arXiv:2405.15943; arXiv:2410.00699")
@dataclass(frozen=True, kw_only=True)
class HiddenMarkovSequences(SequenceTask):
    """Sequences of a hidden Markov model; the exact belief after each symbol is known.

    Beliefs come from the forward algorithm in log space. Mess3 has three states and symbols and
    beliefs that form a fractal; z1r gives A, B, then either; random draws a process by its seed.
    """

    kind: Literal["mess3", "z1r", "random"] = option("mess3", help="Which process.")
    keep: float = option(0.85, help="Mess3: chance of a state's own symbol.", low=0, high=1)
    move: float = option(0.05, help="Mess3: chance of each other state.", low=0, high=0.5)
    states: int = option(4, help="Random: hidden states.", low=1, high=64)
    symbols: int = option(4, help="Random: symbols.", low=2, high=26)
    process_seed: int = option(0, help="Random: seed of the process.", low=0, high=2**31)

    def drawn_process(self) -> HiddenMarkov:
        """Return the process that the options describe."""
        if self.kind == "mess3":
            return mess3(keep=self.keep, move=self.move)
        if self.kind == "z1r":
            return zero_one_random()
        return random_process(self.states, self.symbols, seed=self.process_seed)

    def read_process(self, values: Mapping[str, Any]) -> HiddenMarkov:
        """Return the process that a row of a file describes."""
        return HiddenMarkov.from_dict(values)
