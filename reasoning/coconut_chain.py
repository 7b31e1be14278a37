"""Reasoning in continuous thoughts: the last state is fed back, and nothing is written."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from reasoning.hybrid.chains import think
from workbench.latent.coconut import CoconutModel, open_coconut
from workbench.latent.thinking import LatentThinking
from workbench.latent.thoughts import Fed
from workbench.methods.contracts import Context, Prompt
from workbench.methods.registry import reasoner
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.options import option
from workbench.result.chain import Chain

_CHECKPOINT = "Folder of a trained arm; default: beside the model, or shipped for it."


@reasoner("coconut", source="Hao et al. 2024, arXiv:2412.06769")
@dataclass(frozen=True, kw_only=True)
class CoconutChain:
    """Think in so many last states fed back as they are, then write what is left and the answer.

    The question is followed by a mark, the thoughts and a second mark; then the model writes. The
    text of a thought is the likeliest token at its place, which is shown and never fed. `fed`
    replaces the thoughts, all or one: a chain that answers as well without them does not use
    them. An arm trained on pauses is fed its pause.

    Cost: one pass over one position for each thought and each token written.

    Units: entropies in nats, at temperature 1 where the likeliest is taken.

    Raises:
        ModelNotFound: there is no such model trained for this one.

    Source: section 3 of the paper, a fixed number of thoughts; replacements are ours.
    """

    checkpoint: str = option("", help=_CHECKPOINT)
    thoughts: int | None = option(
        None, help="Thoughts before the answer; default: as trained.", low=0, high=1000
    )
    fed: Fed = option(
        "state", help="In place of thoughts: nought, a random direction, another row's, the next."
    )
    only: int | None = option(None, help="Replace this one, counted from 1.", low=1, high=1000)
    tokens: int = option(128, help="Most tokens written.", low=1, high=100_000, unit="tokens")
    temperature: float = option(0.0, help="0 takes the likeliest token.", low=0.0, high=10.0)
    vectors: bool = option(False, help="Keep the thoughts.")

    def weights(self, model: Model) -> CoconutModel:
        """Return the trained marks and the model they belong to."""
        return open_coconut(model, self.checkpoint)

    def solve(
        self, model: Model, prompts: Sequence[Prompt], *, seeds: Sequence[int], context: Context
    ) -> Sequence[Chain]:
        trained = self.weights(model)
        given = None
        if self.fed == "shuffled":
            own = replace(self, fed="state", vectors=True)
            chains = own.solve(model, prompts, seeds=seeds, context=context)
            given = torch.stack([torch.from_numpy(c.vectors[1:-1]) for c in chains])
        inputs = trained.inputs(self.thoughts, fed=self.fed, only=self.only, given=given)
        asked = [
            replace(p, ids=tuple(trained.lines.question(p.question)), stop_ids=inputs.ends)
            for p in prompts
        ]
        policy = LatentThinking(
            inputs=inputs,
            sampling=Sampling(temperature=self.temperature or 1.0),
            greedy=self.temperature == 0,
            keep=8,
            vectors=self.vectors,
        )
        limit = inputs.steps + self.tokens
        return think(trained.model, asked, policy, limit=limit, seeds=seeds, silent=inputs.steps)
