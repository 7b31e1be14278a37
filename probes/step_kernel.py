"""How random a step of generation is: where the next state goes when a token is drawn again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.methods.contracts import Context, Example
from workbench.methods.controls import draws
from workbench.methods.per_unit import Measured, PerUnit
from workbench.methods.registry import probe
from workbench.model.policy import Sampling
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.tokens import pad
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Control, Metric, Plot
from workbench.result.peak import largest
from workbench.result.samples import Samples

_FINAL = Site(Kind.FINAL_NORM)


@probe("step-kernel", source="Shaul et al. 2025, Transition Matching, arXiv:2506.23589")
@dataclass(frozen=True, kw_only=True)
class StepKernel(PerUnit):
    """Take one step from the end of a text again and again and see how far apart it lands.

    A step draws a token and feeds it back: a kernel from state to state. `spread` is 1 − the mean
    cosine of two of `draws` next states, at every layer; `same` the share of pairs that drew one
    token. At a temperature of 0 the kernel is a function: the spread is 0 and `same` is 1.
    Control: tokens drawn evenly from the vocabulary.

    Units: spread is 1 − a cosine, 0 to 2; `same` a share of pairs.

    Cost: two passes of `draws` rows per text.

    Source: Transition Matching, section 3, has learned kernels between states of images; the
    kernel of a language model's own step and its spread are ours.
    """

    metrics: ClassVar = {
        "spread": Metric(unit="1 − cosine", help="Distance of two next states.", bounds=(0.0, 2.0)),
        "same": Metric(
            unit="proportion", help="Pairs that drew one token.", axes=(), bounds=(0.0, 1.0)
        ),
    }
    controls_of: ClassVar = {
        "even": Control("any token", "tokens drawn evenly from the vocabulary")
    }
    plots: ClassVar = (Plot(title="Spread of the next state", metrics=("spread",)),)

    draws: int = option(8, help="Steps taken from the end of each text.", low=2, high=512)
    temperature: float = option(1.0, help="Of the draws; 0 is greedy.", low=0, high=100)

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return (*every_layer(Kind.RESID_POST, spec), _FINAL)

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        found: list[list[Tensor]] = [[], [], [], []]
        for i, draw in enumerate(draws(trace.tokens, context, "step-kernel")):
            ids = trace.tokens.row(i)
            state = trace.row(i, _FINAL)[-1:]
            logits = context.loaded.unembed(state, normed=True).float().cpu()
            p = Sampling(temperature=self.temperature).distribution(logits)[0].double().numpy()
            drawn = draw.choice(len(p), size=self.draws, p=p / p.sum())
            even = draw.integers(len(p), size=self.draws)
            for k, tokens in enumerate((drawn, even)):
                found[k].append(self._spread(ids, tokens, context))
                found[k + 2].append(same_pairs(tokens))
        spread, spread_even, same, same_even = (torch.stack(x) for x in found)
        return Measured(
            values={"spread": spread, "same": same},
            controls={"even": {"spread": spread_even, "same": same_even}},
        )

    def _spread(
        self, ids: Sequence[int], tokens: Int[np.ndarray, " draw"], context: Context
    ) -> Float[Tensor, " layer"]:
        spec = context.loaded.spec
        sites = every_layer(Kind.RESID_POST, spec)
        kept = list(ids)[-(spec.max_positions - 1) :]
        different, times = np.unique(tokens, return_counts=True)
        batch = pad([[*kept, int(token)] for token in different])
        again = context.rerun(batch.to(context.loaded.device), read=sites)
        states = torch.stack([again.activations[site][:, -1] for site in sites])
        return spread(states, torch.from_numpy(times))

    def summary(self, found: Samples) -> str:
        apart = found.estimate("spread", "even").told(
            "Two steps from one state end {} after any two tokens",
            *("farther apart than", "closer together than", "as far apart as"),
        )
        same, where = found.estimate("same", "even"), largest(found, "spread")
        return f"{apart}; they draw the same token: {same}; farthest apart are states of {where}."


def spread(
    states: Float[Tensor, "layer n d_model"], times: Int[Tensor, " n"]
) -> Float[Tensor, " layer"]:
    """Return 1 − the mean cosine of two different draws; state i was drawn so many times."""
    unit = torch.nn.functional.normalize(states.double(), dim=-1)
    weight = times.to(unit)
    n = weight.sum()
    total = (unit * weight[:, None]).sum(dim=1)
    found: Tensor = 1 - ((total**2).sum(dim=-1) - n) / (n * (n - 1))
    return found.clamp(0, 2)


def same_pairs(tokens: Int[np.ndarray, " draw"]) -> Float[Tensor, ""]:
    """Return the share of pairs of draws that are the same token."""
    times, n = np.unique(tokens, return_counts=True)[1], len(tokens)
    return torch.tensor(float((times * (times - 1)).sum()) / (n * (n - 1)), dtype=torch.float64)
