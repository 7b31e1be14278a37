"""What reinforcement trains: an adapter and a gate, their rollouts and their loss."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from reasoning.hybrid.demonstrations import Demonstration
from reasoning.hybrid.objective import divergence, response_losses
from reasoning.hybrid.presets import GateAblation, HybridPreset
from workbench.latent.gate import Gate, GateShape
from workbench.latent.inputs import GATE_WIDTH, GatedMixture, LatentInput, TokenInput
from workbench.latent.mixture import EmbeddingTable
from workbench.latent.replay import (
    Batch,
    LatentRollout,
    fed_vectors,
    replayed_logits,
    rollouts_of,
    token_logprobs,
)
from workbench.latent.thinking import LatentThinking
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.model.tokens import pad
from workbench.training.adapter import Adapter


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What rollouts and losses share: the mark, where a text ends, and the weight of the KL."""

    mark: str
    stop_ids: tuple[int, ...]
    beta: float = 0.005
    width: int = GATE_WIDTH


class Learner:
    """An adapter and, unless the ablation is token-only, a gate on one model.

    `reference` is the policy before any reward, which is fed tokens only.
    """

    def __init__(
        self,
        base: Model,
        reference: Model,
        adapter: Adapter,
        rest: tuple[GateAblation, HybridPreset, Setting],
        generator: torch.Generator,
    ) -> None:
        """Begin with a fresh gate."""
        self.base, self.reference, self.adapter = base, reference, adapter
        self.ablation, self.preset, self.setting = rest
        shape = GateShape(r_min=self.preset.r_min)
        gate = Gate(base.spec.d_model, shape, generator=generator).to(base.device)
        self.gate = gate if self.ablation.is_gated else None
        self.table = EmbeddingTable(base)

    @property
    def inputs(self) -> LatentInput:
        """What thinking rows are fed."""
        if self.gate is None:
            return TokenInput()
        return GatedMixture(gate=self.gate, width=self.setting.width)

    def policy(self, *, greedy: bool = False, gate_on: bool = True) -> LatentThinking:
        """Return how responses are drawn; mixtures are kept for rollouts only."""
        return LatentThinking(
            inputs=self.inputs if gate_on else TokenInput(),
            sampling=Sampling(temperature=self.preset.temperature),
            greedy=greedy,
            delimiter=self.setting.mark,
            keep=0 if greedy else self.setting.width,
        )

    def rollouts(self, demonstrations: Sequence[Demonstration], seed: int) -> list[LatentRollout]:
        """Draw a group of responses to each problem; the prompts are run once."""
        policy, group = self.policy(), self.preset.responses
        prompts = pad([one.prompt for one in demonstrations], side="left")
        model = self.adapter.model
        prefix = model.prefill(prompts, policy=policy)
        prefix = prefix.take([i for i in range(len(demonstrations)) for _ in range(group)])
        options = GenerationOptions(seeds=seed, stop_ids=self.setting.stop_ids)
        trace = model.generate(prefix, policy=policy, limit=self.preset.new_tokens, options=options)
        return rollouts_of(trace)

    def answers(
        self, demonstrations: Sequence[Demonstration], *, gate_on: bool = True, rows: int = 128
    ) -> list[str]:
        """Return the greedy response to each problem."""
        texts: list[str] = []
        options = GenerationOptions(stop_ids=self.setting.stop_ids)
        for start in range(0, len(demonstrations), rows):
            some = pad([one.prompt for one in demonstrations[start : start + rows]], side="left")
            trace = self.adapter.model.generate(
                some,
                policy=self.policy(greedy=True, gate_on=gate_on),
                limit=self.preset.new_tokens,
                options=options,
            )
            texts += [self.text(row) for row in trace.generated]
        return texts

    def text(self, response: Sequence[int]) -> str:
        """Return a response without the token that ended it."""
        ended = bool(response) and response[-1] in self.setting.stop_ids
        return self.base.decode(response[:-1] if ended else response)

    def losses(
        self, rollouts: Sequence[LatentRollout], advantage: Float[Tensor, " n"]
    ) -> Iterator[tuple[Tensor, float]]:
        """Yield pieces of the loss (mean over all responses) with their summed KL per response.

        The log-probabilities are those at the sampling temperature. Where no advantage and no
        KL weight is left, the piece is exactly zero.
        """
        order = sorted(range(len(rollouts)), key=lambda i: len(rollouts[i].response))
        for start in range(0, len(order), self.preset.at_once):
            rows = order[start : start + self.preset.at_once]
            batch = Batch.of([rollouts[i] for i in rows], self.base.device)
            logprobs = self.logprobs(batch)
            with torch.no_grad():
                reference = self._reference(batch)
            kl = divergence(logprobs, reference)
            chosen = advantage[rows].to(logprobs.device)
            each = response_losses(logprobs, kl, chosen, batch.valid, beta=self.setting.beta)
            told = kl.detach().masked_fill(~batch.valid, 0).sum(1) / batch.valid.sum(1)
            yield each.sum() / len(rollouts), float(told.sum())

    def logprobs(self, batch: Batch) -> Float[Tensor, "batch step"]:
        """Return ln π of a batch with gradients into the adapter and the gate."""
        module = self.adapter.module
        vectors = fed_vectors(module, self.table, self.gate, batch)
        return token_logprobs(
            replayed_logits(module, vectors, batch), batch, self.preset.temperature
        )

    def _reference(self, batch: Batch) -> Tensor:
        module = self.reference.backend.module
        vectors = fed_vectors(module, self.table, None, batch)
        return token_logprobs(
            replayed_logits(module, vectors, batch), batch, self.preset.temperature
        )
