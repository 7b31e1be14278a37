"""One problem while it is reasoned about in sentence vectors."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.result.chain import Chain, Cost, Ended, Step
from workbench.training.codec import Decoded

Fed = Literal["text", "vector"]


class Row:
    """The vectors of a chain so far, what was decoded from them, and the operations spent."""

    def __init__(self, *, question: Sequence[int], seed: int) -> None:
        """Begin with the question's ids."""
        self.question = list(question)
        self.vectors: list[Float[Tensor, " d_model"]] = []
        self.said: list[Decoded | None] = []
        self.ended: Ended = "limit"
        self.is_asked_length = False
        self._seed = seed
        self._stops: list[float] = []
        self._fed: list[Fed] = []
        self._counted: list[bool] = []
        self._costs: dict[str, Cost] = {}
        self._step_costs: list[Cost] = []

    def generator(self, step: int, use: str) -> torch.Generator:
        """Return the generator of one step and use, whatever else the batch holds."""
        digest = hashlib.sha256(f"{self._seed} {step} {use}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def add(self, vector: Float[Tensor, " d_model"], stop: float) -> None:
        """Take over a new vector and the probability that it is the last."""
        self.vectors.append(vector)
        self._stops.append(stop)
        self.said.append(None)
        self._fed.append("vector")
        self._counted.append(False)
        self._step_costs.append(Cost())

    def feed(self, fed: Fed) -> None:
        """Note what the next step is given for the newest vector."""
        self._fed[-1] = fed

    def say(self, at: int, decoded: Decoded, *, counted: bool) -> None:
        """Note what a vector decodes to, and whether that is part of the response."""
        self.said[at], self._counted[at] = decoded, counted

    def silent(self, *, last_only: bool) -> list[int]:
        """Return the steps that have not been decoded."""
        steps = range(len(self.vectors))[-1:] if last_only else range(len(self.vectors))
        return [at for at in steps if self.said[at] is None]

    def count(self, stage: str, cost: Cost, *, step: int = -1) -> None:
        """Add operations to a stage, and to a step where there is one already."""
        self._costs[stage] = self._costs.get(stage, Cost()) + cost
        if self._step_costs:
            self._step_costs[step] += cost

    def chain(self) -> Chain:
        """Return the chain; it is not finished where its last sentence was cut off."""
        texts = [
            said.text
            for said, counted in zip(self.said, self._counted, strict=True)
            if said is not None and counted
        ]
        last = self.said[-1] if self.said else None
        is_cut = last is not None and not last.is_complete
        reached = self.ended != "limit" or self.is_asked_length
        return Chain(
            steps=tuple(self._step(at) for at in range(len(self.vectors))),
            response="\n".join(texts),
            ended=self.ended,
            finished=reached and not is_cut,
            costs=self._costs,
        )

    def _step(self, at: int) -> Step:
        said = self.said[at]
        return Step(
            kind="sentence",
            text=said.text if said else "",
            vector=self.vectors[at].float().cpu().numpy(),
            logprob=said.logprob if said else None,
            stop=self._stops[at],
            fed=self._fed[at],
            cost=self._step_costs[at],
        )
