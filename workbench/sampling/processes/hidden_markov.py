"""Hidden Markov models that emit on their edges, with the forward algorithm in log space."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp

from workbench.sampling.processes.process import Exact, KeptAsPlain, normalised

_NEAR = 1e-9
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, kw_only=True, eq=False)
class HiddenMarkov(KeptAsPlain):
    """`step[s, i, j]` is the probability of giving symbol s and going to state j from state i.

    `start` is the distribution of the first state.
    """

    entries: ClassVar = "symbols, start [state] and step [symbol, from, to]"

    symbols: tuple[str, ...]
    start: Float[np.ndarray, " state"]
    step: Float[np.ndarray, "symbol state state"]

    def problems(self) -> list[str]:
        """Return why the numbers are no probabilities."""
        problems = []
        n = len(self.start)
        if self.step.shape != (len(self.symbols), n, n):
            problems.append(f"step has the shape {self.step.shape}; expected symbol, state, state")
        elif np.abs(self.step.sum(axis=(0, 2)) - 1).max() > _NEAR:
            problems.append("what leaves a state does not add up to 1")
        if abs(self.start.sum() - 1) > _NEAR:
            problems.append(f"start adds up to {self.start.sum():g}")
        if not (np.isfinite(self.step).all() and np.isfinite(self.start).all()):
            problems.append("a probability is not finite")
        elif min(self.step.min(initial=0), self.start.min(initial=0)) < 0:
            problems.append("a probability is negative")
        if len(set(self.symbols)) < len(self.symbols) or any(
            s.split() != [s] for s in self.symbols
        ):
            problems.append("symbols must differ and hold no blank")
        return problems

    def sample(
        self, n: int, length: int, generator: np.random.Generator
    ) -> tuple[Int[np.ndarray, "batch pos"], Int[np.ndarray, "batch after"]]:
        """Draw sequences of symbols with the hidden states before and after each symbol."""
        n_symbols, n_states = len(self.symbols), len(self.start)
        edges = np.cumsum(self.step.transpose(1, 0, 2).reshape(n_states, -1), axis=1)
        states = np.zeros((n, length + 1), np.int64)
        ids = np.zeros((n, length), np.int64)
        states[:, 0] = generator.choice(n_states, size=n, p=self.start)
        for t in range(length):
            u = generator.random(n) * edges[states[:, t], -1]
            edge = (u[:, None] >= edges[states[:, t]]).sum(axis=1)
            ids[:, t], states[:, t + 1] = np.divmod(edge, n_states)
        return np.minimum(ids, n_symbols - 1), states

    def exact(self, ids: Int[np.ndarray, "batch pos"]) -> Exact:
        """Run the forward algorithm.

        Raises:
            DataError: the process cannot give one of the sequences.
        """
        with np.errstate(divide="ignore"):
            log_step, log_start = np.log(self.step), np.log(self.start)
            log_emit = np.log(self.step.sum(axis=2))
        belief = np.tile(log_start, (len(ids), 1))
        beliefs = [belief]
        for t in range(ids.shape[1]):
            joint = logsumexp(belief[:, :, None] + log_step[ids[:, t]], axis=1)
            belief = normalised(joint, ids[:, t], t)
            beliefs.append(belief)
        log_beliefs = np.stack(beliefs, axis=1)
        log_next = logsumexp(log_beliefs[:, :, None] + log_emit, axis=3)
        return Exact(log_beliefs=log_beliefs, log_next=np.asarray(log_next))


def mess3(*, keep: float = 0.85, move: float = 0.05) -> HiddenMarkov:
    """Return Mess3: each state is left for each other one with probability `move`.

    The state that is reached gives its own symbol with probability `keep`. Its beliefs form a
    fractal in the triangle of three states.

    Source: Shai et al. 2024, arXiv:2405.15943, whose values of α and x are the defaults.
    """
    to = np.where(np.eye(3) > 0, 1 - 2 * move, move)
    give = np.where(np.eye(3) > 0, keep, (1 - keep) / 2)
    return HiddenMarkov(
        symbols=("A", "B", "C"), start=np.full(3, 1 / 3), step=give.T[:, None, :] * to[None]
    )


def zero_one_random() -> HiddenMarkov:
    """Return the process that gives A, then B, then either of them, and so on.

    Source: Shai et al. 2024, arXiv:2405.15943 (Z1R); beliefs begin uniform.
    """
    step = np.zeros((2, 3, 3))
    step[0, 0, 1] = step[1, 1, 2] = 1.0
    step[:, 2, 0] = 0.5
    return HiddenMarkov(symbols=("A", "B"), start=np.full(3, 1 / 3), step=step)


def random_process(n_states: int, n_symbols: int, *, seed: int) -> HiddenMarkov:
    """Return a process whose transitions and emissions are drawn flat, from a state given first."""
    draw = np.random.default_rng([seed, n_states, n_symbols])
    to = draw.dirichlet(np.full(n_states, 0.5), size=n_states)
    give = draw.dirichlet(np.full(n_symbols, 0.5), size=n_states)
    return HiddenMarkov(
        symbols=tuple(_LETTERS[:n_symbols]),
        start=draw.dirichlet(np.ones(n_states)),
        step=give.T[:, None, :] * to[None],
    )
