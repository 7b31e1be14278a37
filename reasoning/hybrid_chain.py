"""Reasoning in gated mixtures of a token and what else might have been said."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reasoning.hybrid.chains import think
from workbench.errors import BadOption
from workbench.latent.inputs import GatedMixture
from workbench.latent.interventions import Intervened, Intervention
from workbench.latent.replaced import REPLACED, Replacement, replaced_input
from workbench.latent.thinking import LatentThinking
from workbench.latent.trained import HybridModel, open_hybrid
from workbench.methods.contracts import Context, Prompt
from workbench.methods.registry import reasoner
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.options import option
from workbench.result.chain import Chain

_CHECKPOINT = "Folder of a trained gate; default: beside the model, or shipped for it."


@reasoner("hrpo", source="Yue et al. 2025, arXiv:2505.18454")
@dataclass(frozen=True, kw_only=True)
class HybridChain:
    """Feed each thought as a gated mixture of its token and what else might have been said.

    Until the mark is written every token y is fed as a⊙ê + √(1−a²+ε)⊙(i⊙h), ê its embedding, h
    the spread mixture of the likeliest tokens; the answer after the mark is fed as it is. The
    trained adapter and gate come from a checkpoint. `gate=1` closes the gate, which is a plain
    chain of thought by the same weights.

    Cost: two products of the model's width and a sum of `width` embeddings per thinking step.

    Units: entropies in nats, `mean_ratio` is the mean of √(1−a²+ε).

    Raises:
        ModelNotFound: there is no trained gate for this model.

    Source: section 3 of the paper; tokens are drawn from the whole distribution, mixtures cut at
    the 50 likeliest tokens as in its released code.
    """

    checkpoint: str = option("", help=_CHECKPOINT)
    tokens: int = option(256, help="Most tokens written.", low=1, high=100_000, unit="tokens")
    sample: bool = option(False, help="Draw tokens; otherwise the likeliest is taken.")
    temperature: float | None = option(
        None, help="Of mixtures and draws; default: as trained.", low=0.01, high=10.0
    )
    width: int | None = option(None, help="Tokens in a mixture; 0: all.", low=0, high=10**7)
    gate: float | None = option(None, help="Force the gate; 1 feeds tokens.", low=0.0, high=1.0)
    mark: str = option("", help="What ends the thinking; default: as trained.")
    vectors: bool = option(False, help="Keep the vectors that were fed.")
    fed: Replacement = option("own", help=REPLACED)

    def weights(self, model: Model) -> HybridModel:
        """Return the trained gate and adapter with the model they belong to."""
        return open_hybrid(model, self.checkpoint)

    def solve(
        self, model: Model, prompts: Sequence[Prompt], *, seeds: Sequence[int], context: Context
    ) -> Sequence[Chain]:
        trained = self.weights(model)
        ends = trained.end_ids
        prompts = [replace(p, stop_ids=tuple({*p.stop_ids, *ends})) for p in prompts]
        inputs = trained.inputs(self.width)
        policy = LatentThinking(
            inputs=inputs,
            sampling=Sampling(temperature=self.temperature or trained.temperature),
            greedy=not self.sample,
            delimiter=self.mark or trained.mark,
            keep=8,
            vectors=self.vectors,
        )
        if self.gate is not None:
            if not isinstance(inputs, GatedMixture):
                raise BadOption(
                    "the gate is to be forced, and this checkpoint was trained without one",
                    hint="leave gate out, or name the folder of another arm",
                )
            forced = Intervened(inner=inputs, change=Intervention(gate=self.gate))
            policy = replace(policy, inputs=forced)
        policy = replace(policy, inputs=replaced_input(policy.inputs, self.fed))
        return think(trained.model, prompts, policy, limit=self.tokens, seeds=seeds)
