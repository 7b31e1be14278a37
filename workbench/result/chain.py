"""What a reasoner did: a chain of token, latent or sentence steps, and an answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from workbench.errors import BadOption

StepKind = Literal["token", "latent", "sentence"]
Ended = Literal["end", "head", "oracle", "limit"]
STAGES = ("prefill", "reasoning", "decoding", "stopping")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Counted operations of one stage, in floating-point operations (a multiply-add is two).

    `last_position` evaluates the vocabulary head where a token is drawn and nowhere else;
    `every_position` also at every position of the prompt. `n_tokens` counts the positions that
    went through a network.
    """

    last_position: float = 0.0
    every_position: float = 0.0
    n_tokens: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        """Return both together."""
        return Cost(
            last_position=self.last_position + other.last_position,
            every_position=self.every_position + other.every_position,
            n_tokens=self.n_tokens + other.n_tokens,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One step of a chain.

    `vector` is what was fed on: the state of a latent or sentence step, None for a token.
    `text` is the token or the sentence decoded from the vector, `logprob` its mean token
    log-probability in nats, `stop` the probability that the chain ends here. `fed` says what the
    next step was given: `text`, `vector`, or a mixture of both. `changed` names the intervention
    made at this step. `facts` are further numbers of the step (gate, entropy, norm).
    """

    kind: StepKind
    text: str = ""
    vector: Float[np.ndarray, " d_model"] | None = None
    logprob: float | None = None
    stop: float | None = None
    fed: Literal["text", "vector", "mixture"] = "text"
    changed: str = ""
    cost: Cost = Cost()
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    """The steps of a reasoner on one problem, and the text in which the answer stands.

    `ended` says what stopped it: the end of the text, the stop head, an oracle, or the limit on
    steps or tokens. `finished` is set where that does not tell whether the chain was cut off: a
    chain of the length asked for is finished, one whose last sentence was cut off is not. One
    that is not finished has no answer. `costs` sums the operations by stage.
    """

    steps: tuple[Step, ...]
    response: str
    ended: Ended
    costs: Mapping[str, Cost] = field(default_factory=dict)
    finished: bool | None = None

    def __post_init__(self) -> None:
        """Refuse stages that are not counted."""
        unknown = set(self.costs) - set(STAGES)
        if unknown:
            raise BadOption(f"cost stages {sorted(unknown)}; expected some of {', '.join(STAGES)}")

    @property
    def is_finished(self) -> bool:
        """Whether the chain came to its own end, or to the length that was asked for."""
        return self.ended != "limit" if self.finished is None else self.finished

    @property
    def cost(self) -> Cost:
        """The operations of all stages together."""
        return sum(self.costs.values(), Cost())

    @property
    def vectors(self) -> NDArray[Any]:
        """The vectors of the steps that have one, [step, d_model]."""
        found = [step.vector for step in self.steps if step.vector is not None]
        return np.stack(found) if found else np.zeros((0, 0), dtype=np.float32)
