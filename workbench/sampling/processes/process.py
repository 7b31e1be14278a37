"""A source of symbols with hidden states, and what an exact observer knows of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp

from workbench.errors import DataError

_DIGITS = 6
PlainT = TypeVar("PlainT", bound="KeptAsPlain")


@dataclass(frozen=True, kw_only=True, eq=False)
class Exact:
    """What Bayes' rule says before the first symbol (position 0) and after each one.

    Natural logarithms of the belief over hidden states, and of the next symbol's distribution.
    """

    log_beliefs: Float[np.ndarray, "batch after state"]
    log_next: Float[np.ndarray, "batch after symbol"]

    @property
    def beliefs(self) -> Float[np.ndarray, "batch after state"]:
        """Return the belief over hidden states, as probabilities."""
        return np.asarray(np.exp(self.log_beliefs))

    @property
    def entropy(self) -> Float[np.ndarray, "batch after"]:
        """Return the entropy of the next symbol in nats; 0·ln 0 counts as 0."""
        return entropy_of(self.log_next)

    def surprisal(self, ids: Int[np.ndarray, "batch pos"]) -> Float[np.ndarray, "batch pos"]:
        """Return −ln p of every symbol given those before it, in nats."""
        return np.asarray(
            -np.take_along_axis(self.log_next[:, :-1], ids[..., None], axis=2)[..., 0]
        )


@runtime_checkable
class Process(Protocol):
    """A source of symbols with hidden states."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols as they are written, none with a blank in it."""

    def sample(
        self, n: int, length: int, generator: np.random.Generator
    ) -> tuple[Int[np.ndarray, "batch pos"], Int[np.ndarray, "batch after"]]:
        """Draw sequences of symbols with the hidden states before and after each symbol."""

    def exact(self, ids: Int[np.ndarray, "batch pos"]) -> Exact:
        """Return what an exact observer knows.

        Raises:
            DataError: the process cannot give one of the sequences.
        """

    def as_dict(self) -> dict[str, Any]:
        """Return all that decides it as plain values."""


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptAsPlain:
    """A process kept as the names and arrays it is made of, which `entries` says in words."""

    entries: ClassVar[str]

    def __post_init__(self) -> None:
        """Refuse numbers that are no probabilities.

        Raises:
            DataError: all problems at once.
        """
        if problems := self.problems():
            raise DataError("; ".join(problems), hint=f"expected {self.entries}")

    def problems(self) -> list[str]:
        """Return why the numbers are no probabilities."""
        return []

    def as_dict(self) -> dict[str, Any]:
        """Return all that decides it as plain values."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return {n: x.tolist() if isinstance(x, np.ndarray) else list(x) for n, x in parts.items()}

    @classmethod
    def from_dict(cls: type[PlainT], values: Mapping[str, Any]) -> PlainT:
        """Rebuild a process from what `as_dict` returned.

        Raises:
            DataError: an entry is missing or is no array of numbers.
        """
        try:
            return cls(
                **{
                    f.name: tuple(map(str, values[f.name]))
                    if f.type == tuple[str, ...]
                    else np.array(values[f.name], dtype=np.float64)
                    for f in fields(cls)
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"no process of this kind: {type(error).__name__} {error}", hint=cls.entries
            ) from error


def entropy_of(log_p: Float[np.ndarray, "*batch k"]) -> Float[np.ndarray, "*batch"]:
    """Return the entropy of log-probabilities along the last axis, in nats."""
    p = np.exp(log_p)
    return np.asarray(-np.where(p > 0, p * np.where(p > 0, log_p, 0.0), 0.0).sum(axis=-1))


def kl_of(
    log_p: Float[np.ndarray, "*batch k"], log_q: Float[np.ndarray, "*batch k"]
) -> Float[np.ndarray, "*batch"]:
    """Return KL(p‖q) along the last axis, in nats; what p never gives counts for nothing."""
    p = np.exp(log_p)
    gap = np.where(p > 0, log_p, 0.0) - np.where(p > 0, log_q, 0.0)
    return np.asarray((p * gap).sum(axis=-1))


def normalised(
    log_joint: Float[np.ndarray, "batch state"], symbols: Int[np.ndarray, " batch"], position: int
) -> Float[np.ndarray, "batch state"]:
    """Return the belief of a joint log-probability.

    Raises:
        DataError: a sequence has probability zero.
    """
    total = logsumexp(log_joint, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(total[:, 0]))
    if len(bad):
        raise DataError(
            f"the process cannot give symbol {int(symbols[bad[0]])} at position {position} of "
            f"sequence {int(bad[0])}; {len(bad)} sequences are impossible",
            hint="give sequences of this process, or name the one they come from",
        )
    return np.asarray(log_joint - total)


def written(process: Process, ids: Sequence[int]) -> str:
    """Return a sequence as text, symbols joined by blanks."""
    return " ".join(process.symbols[i] for i in ids)


def read_symbols(process: Process, text: str) -> list[int]:
    """Return a text as symbols.

    Raises:
        DataError: a word is none of them; all such words are named.
    """
    known = {symbol: i for i, symbol in enumerate(process.symbols)}
    words = text.split()
    strange = dict.fromkeys(word for word in words if word not in known)
    if strange or not words:
        named = ", ".join(map(repr, [*strange][:5])) or "an empty text"
        raise DataError(
            f"{named}: no symbols of the process; expected {', '.join(process.symbols)}",
            hint="symbols are separated by blanks",
        )
    return [known[word] for word in words]


def exact_fields(process: Process, ids: Sequence[int]) -> Mapping[str, Any]:
    """Return what is known after each symbol as plain values: beliefs, next symbol, entropy."""
    found = process.exact(np.array([ids]))
    return {
        "beliefs": np.round(found.beliefs[0, 1:], _DIGITS).tolist(),
        "next": np.round(np.exp(found.log_next[0, 1:]), _DIGITS).tolist(),
        "entropy": np.round(found.entropy[0, 1:], _DIGITS).tolist(),
    }
