"""Reasoning in mixtures of token embeddings without any training, and a negative control."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reasoning.hybrid.chains import think
from workbench.latent.inputs import HiddenFeedback, LatentInput, MixtureOfInputs, SoftTokens
from workbench.latent.replaced import REPLACED, Replacement, replaced_input
from workbench.latent.thinking import ColdStop, LatentThinking
from workbench.methods.contracts import Context, Prompt
from workbench.methods.registry import reasoner
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.model.tokens import token_ids
from workbench.options import option
from workbench.result.chain import Chain
from workbench.sampling.sentences import answer_lead

_MARK = "What ends the thinking; default: the words that introduce an answer in the task."
_KEPT = 8


class _Thinking:
    temperature: float
    vectors: bool

    def thinking(self, inputs: LatentInput, **more: Any) -> LatentThinking:
        """Return the policy that feeds those inputs, its mixtures and vectors kept."""
        sampling = Sampling(temperature=self.temperature)
        return LatentThinking(
            inputs=inputs, sampling=sampling, keep=_KEPT, vectors=self.vectors, **more
        )


@reasoner("soft-thinking", source="Zhang et al. 2025, arXiv:2505.15778")
@dataclass(frozen=True, kw_only=True)
class SoftThinking(_Thinking):
    """Think in mixtures of the likeliest tokens' embeddings, then answer in tokens.

    Each thought is fed as Σ p̃ E over the n likeliest tokens left by top-p, top-k and min-p; the
    likeliest is shown. When entropy stays below a bound for `cold_steps` steps, the words that
    introduce the answer are put into the model's mouth.

    Cost: a sum of n embeddings per thinking step.

    Units: entropies in nats; `cold_entropy` in nats.

    Source: section 3 of the paper, its defaults; `noise` after arXiv:2508.03440. The authors
    warn that it is weak on models of up to 7B parameters.
    """

    tokens: int = option(256, help="Most tokens written.", low=1, high=100_000, unit="tokens")
    temperature: float = option(0.6, help="Of the mixtures.", low=0.01, high=10.0)
    answer_temperature: float = option(0.0, help="Of the answer; 0: likeliest.", low=0, high=10.0)
    n: int = option(10, help="Tokens in a mixture; 1 is greedy.", low=1, high=1000)
    top_p: float = option(0.95, help="Nucleus mass.", low=0.01, high=1.0)
    top_k: int = option(30, help="Likeliest tokens looked at.", low=1, high=100_000)
    min_p: float = option(0.001, help="Least share of the likeliest.", low=0.0, high=1.0)
    noise: float = option(0.0, help="Temperature of Gumbel noise; 0: none.", low=0.0, high=10.0)
    cold_entropy: float = option(0.01, help="Bound of the cold stop.", low=0.0, high=100.0)
    cold_steps: int = option(256, help="Steps below it; 0: no cold stop.", low=0, high=100_000)
    mark: str = option("", help=_MARK)
    vectors: bool = option(False, help="Keep the vectors that were fed.")
    fed: Replacement = option("own", help=REPLACED)

    def solve(
        self, model: Model, prompts: Sequence[Prompt], *, seeds: Sequence[int], context: Context
    ) -> Sequence[Chain]:
        mark = self.mark or answer_lead(context.task).strip()
        soft = SoftTokens(
            n=self.n, top_p=self.top_p, top_k=self.top_k, min_p=self.min_p, noise=self.noise
        )
        ids = token_ids(model.tokenizer, f" {mark}", special_tokens=False)
        cold = ColdStop(below=self.cold_entropy, steps=self.cold_steps)
        policy = self.thinking(
            replaced_input(soft, self.fed),
            answer=Sampling(temperature=self.answer_temperature),
            delimiter=mark,
            closing=tuple(ids),
            cold=cold if self.cold_steps else None,
        )
        return think(model, prompts, policy, limit=self.tokens, seeds=seeds)


@reasoner("moi", source="Zhuang et al. 2025, arXiv:2505.14827")
@dataclass(frozen=True, kw_only=True)
class MixtureOfInputsChain(_Thinking):
    """Feed every drawn token together with the distribution it was drawn from.

    w = (H·p + (β+1−H)·onehot(y)) / (β+1), H the entropy divided by ln V; x = Σ w E, at every
    token, the answer's too.

    Cost: one product with the embedding matrix per token.

    Units: entropies in nats.

    Source: section 3 of the paper.
    """

    tokens: int = option(256, help="Most tokens written.", low=1, high=100_000, unit="tokens")
    temperature: float = option(0.6, help="Of mixtures and draws.", low=0.01, high=10.0)
    greedy: bool = option(False, help="Take the likeliest token in place of a draw.")
    beta: float = option(1.0, help="Weight of the drawn token.", low=0.0, high=100.0)
    vectors: bool = option(False, help="Keep the vectors that were fed.")
    fed: Replacement = option("own", help=REPLACED)

    def solve(
        self, model: Model, prompts: Sequence[Prompt], *, seeds: Sequence[int], context: Context
    ) -> Sequence[Chain]:
        inputs = replaced_input(MixtureOfInputs(beta=self.beta), self.fed)
        policy = self.thinking(inputs, greedy=self.greedy)
        return think(model, prompts, policy, limit=self.tokens, seeds=seeds)


@reasoner("hidden-feedback", source="Negative control of arXiv:2505.18454, section 4")
@dataclass(frozen=True, kw_only=True)
class HiddenFeedbackChain(_Thinking):
    """Feed the model's last hidden state back in place of each thought: a negative control.

    The final norm's output is scaled to the mean length of a token's embedding. Models not
    trained for it lose their thread, which every other latent method should not.

    Cost: none beyond the model's own step.

    Units: entropies in nats.

    Source: the raw-hidden-state control of the paper; the scale is ours.
    """

    tokens: int = option(256, help="Most tokens written.", low=1, high=100_000, unit="tokens")
    temperature: float = option(0.6, help="Of the draws.", low=0.01, high=10.0)
    greedy: bool = option(True, help="Take the likeliest token in place of a draw.")
    mark: str = option("", help=_MARK)
    vectors: bool = option(False, help="Keep the vectors that were fed.")

    def solve(
        self, model: Model, prompts: Sequence[Prompt], *, seeds: Sequence[int], context: Context
    ) -> Sequence[Chain]:
        mark = self.mark or answer_lead(context.task).strip()
        policy = self.thinking(HiddenFeedback(), greedy=self.greedy, delimiter=mark)
        return think(model, prompts, policy, limit=self.tokens, seeds=seeds)
