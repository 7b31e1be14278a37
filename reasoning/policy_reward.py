"""Reward-guided decoding: the model's next token weighed by one or several reward models."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reasoning.candidates import Candidates
from workbench.errors import BadOption
from workbench.model.generation import stepper_after
from workbench.model.model import Model
from workbench.model.policy import GREEDY, Choice, Host, ReadsNothing, Sampling, Step, draw
from workbench.model.tokens import Tokens

_TOLD = 5


@dataclass(frozen=True, kw_only=True)
class RewardGuided(ReadsNothing):
    """Choose from π(v) ∝ π_base(v)·Π_i π_r,i(v)^α_i, the product of the model and its rewards.

    Each reward is a causal language model with the same vocabulary, trained so that the sum of
    its log-probabilities is the reward of a text; α = 1/β, one weight per reward. A weight of 0
    leaves its reward out. Without a reward model in the list, the model rewards itself, which
    gives π_base^{1+α}. `base` says how a token is taken from the product.

    Source: Xu et al. 2024, GenARM, arXiv:2410.08193, equation 8; several objectives: section
    4.3. The authors' library normalises the weights by their sum, which their temperature
    1/(1 + α) undoes; the formula needs neither.

    Raises:
        BadOption: weights and rewards do not pair up, or the vocabularies differ.
    """

    rewards: tuple[Model, ...] = ()
    weights: tuple[float, ...] = (1.0,)
    base: Sampling = GREEDY

    def __post_init__(self) -> None:
        """Refuse weights that belong to no reward."""
        if len(self.weights) != max(len(self.rewards), 1):
            raise BadOption(
                f"{len(self.weights)} weights for {max(len(self.rewards), 1)} rewards; "
                "expected one each"
            )
        if not all(abs(weight) < float("inf") for weight in self.weights):
            raise BadOption(f"weights are {self.weights}; expected finite numbers")

    def begin(self, prompt: Tokens, model: Host) -> "_RewardGuided":
        different = [r.spec.name for r in self.rewards if r.spec.d_vocab != model.spec.d_vocab]
        if different:
            raise BadOption(
                f"rewards {', '.join(different)} have another vocabulary than {model.spec.name}",
                hint="a reward model needs the tokens of the model it guides",
            )
        return _RewardGuided(self, prompt)


class _RewardGuided:
    def __init__(self, recipe: RewardGuided, prompt: Tokens) -> None:
        self._recipe = recipe
        pairs = zip(recipe.rewards, recipe.weights, strict=False)
        self._guides = [
            (stepper_after(model, model.prefill(prompt)), weight)
            for model, weight in pairs
            if weight
        ]
        self._last: Choice | None = None

    def choose(self, step: Step) -> Choice:
        """Choose the next token of every row."""
        if self._last is not None:
            for guide, _ in self._guides:
                guide.feed(self._last, step.live)
        rewards = [guide.logits for guide, _ in self._guides]
        if not self._recipe.rewards:
            rewards = [step.logits]
        logits = product(step.logits, rewards, [w for w in self._recipe.weights if w])
        p = self._recipe.base.distribution(logits)
        tokens = draw(p, step.generators, step.live)
        record = _record(step, logits, tokens)
        self._last = Choice(tokens=tokens, record=record)
        return self._last


def product(
    base: Float[Tensor, "batch d_vocab"],
    rewards: Sequence[Float[Tensor, "batch d_vocab"]],
    weights: Sequence[float],
) -> Float[Tensor, "batch d_vocab"]:
    """Return log π_base + Σ α_i·log π_r,i up to a constant; without weights the base itself."""
    found = base
    for reward, weight in zip(rewards, weights, strict=False):
        found = found + weight * reward.to(base).log_softmax(dim=-1)
    return found


def _record(
    step: Step, logits: Float[Tensor, "batch d_vocab"], tokens: Int[Tensor, " batch"]
) -> Candidates:
    """Tell the most probable tokens: p of the base, how much the rewards took, log π."""
    mine, base = logits.float().log_softmax(dim=-1), step.logits.float().log_softmax(dim=-1)
    ids = mine.topk(min(_TOLD, mine.shape[-1]), dim=-1).indices
    drawn_outside = (ids != tokens[:, None]).all(dim=1)
    ids[drawn_outside, -1] = tokens[drawn_outside]
    score = mine.gather(1, ids)
    before = base.gather(1, ids)
    return Candidates(
        ids=ids.cpu(),
        p=before.exp().cpu(),
        penalty=(before - score).cpu(),
        score=score.cpu(),
        picked=(ids == tokens[:, None]).long().argmax(dim=1).cpu(),
        live=torch.tensor(step.live),
        kl=(mine.exp() * (mine - base)).sum(dim=-1).cpu(),
    )
