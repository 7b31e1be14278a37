"""What a bag of the words so far tells about the next one, layer by layer, and what order adds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.methods.contracts import Context, Example
from workbench.methods.controls import draws
from workbench.methods.next_token import following_tokens, losses
from workbench.methods.per_unit import Measured, PerUnit
from workbench.methods.registry import probe
from workbench.model.site_patterns import expand
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens, pad
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Control, Metric, Plot
from workbench.result.peak import largest
from workbench.result.samples import Samples

_FEWEST = 5  # tokens; the half that is predicted has then at least two to predict


@probe("topicality", source="Gupta et al. 2019, textTOvec, arXiv:1810.03947")
@dataclass(frozen=True, kw_only=True)
class Topicality(PerUnit):
    """Measure what the bag of earlier words adds to the next one at every layer.

    The second half of a text is read by the logit lens at every layer, after its first half as it
    stands, in random order, and without it. `bag` is the loss without less the loss after the
    shuffled half: what order-free context adds. `order` is the loss after the shuffled half less
    that after the half as it stands. The first token stays in its place. Controls: for the bag, as
    many tokens drawn from the vocabulary; for the order, a second shuffle in place of the text.

    Units: nats per token. Texts of fewer than five tokens are not counted.

    Cost: four passes beside the first, and for each the output head over the second half of the
    text at every layer; on a small model with a large vocabulary the head is most of it.

    Source: textTOvec adds a language model to a bag of words and trains both; here the model is
    frozen, reads the bag as a text and is compared with itself; `docnade` trains the bag of words.
    """

    metrics: ClassVar = {
        "bag": Metric(unit="nats per token", help="Saved by the bag of earlier words."),
        "order": Metric(unit="nats per token", help="Saved by their order."),
    }
    controls_of: ClassVar = {
        "null": Control("foreign words or another shuffle", "words drawn at random; a 2nd shuffle")
    }
    plots: ClassVar = (
        Plot(title="What earlier words save, by layer", metrics=("bag", "order")),
        Plot(title="Topicality: saved by the bag", metrics=("bag",)),
    )

    layers: str = option("*", help="Layers to read: all, or a slice such as ::5.")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return expand((f"{Kind.RESID_POST}.{self.layers}",), spec)

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        rows = [trace.tokens.row(i) for i in range(len(examples))]
        places = draws(trace.tokens, context, "topicality")
        size = trace.spec.d_vocab
        bags = [[_mixed(row, draw) for row, draw in zip(rows, places, strict=True)] for _ in "12"]
        foreign = [
            [row[0], *d.integers(size, size=len(row) // 2 - 1).tolist(), *row[len(row) // 2 :]]
            if len(row) >= _FEWEST
            else row
            for row, d in zip(rows, places, strict=True)
        ]
        alone = [row[len(row) // 2 :] if len(row) >= _FEWEST else row for row in rows]
        first, second, other, without = (
            self._losses(
                context.rerun(_batch(some, trace), read=self.sites(trace.spec)), rows, context
            )
            for some in (*bags, foreign, alone)
        )
        whole = self._losses(trace, rows, context)
        return Measured(
            values={"bag": without - first, "order": first - whole},
            controls={"null": {"bag": without - other, "order": first - second}},
        )

    def _losses(
        self, trace: Trace, rows: Sequence[Sequence[int]], context: Context
    ) -> Float[Tensor, "text layer"]:
        """Return the mean loss of each layer's lens over the second half but its first token."""
        following = following_tokens(trace.tokens.ids, trace.tokens.mask).cpu()
        for i, row in enumerate(rows):
            columns = trace.tokens.near.mask[i].nonzero()[:, 0]
            kept = len(row) - len(row) // 2 if len(row) >= _FEWEST else 0
            following[i, columns[: len(columns) - kept]] = -1
        layers = [
            losses(trace.activations[site], following, context, normed=False)
            for site in self.sites(trace.spec)
        ]
        return torch.stack([nll.double().nanmean(dim=1).cpu() for nll in layers], dim=1)

    def summary(self, found: Samples) -> str:
        bag, order = (found.estimate(m, "null", {"layer": found.layers[-1]}) for m in self.metrics)
        if bag.value is None:
            return f"No text has {_FEWEST} tokens, so there is no earlier half."
        words = bag.told(
            "At the last layer the earlier words {} than words drawn at random",
            *("help more", "help less", "are not shown to help more"),
        )
        places = order.told(
            "their order {} than another shuffle",
            *("helps more", "helps less", "is not shown to help more"),
        )
        return f"{words}; {places}; the words help most at {largest(found, 'bag')}."


def _mixed(row: Sequence[int], draw: np.random.Generator) -> list[int]:
    """Return the row with its first half, but the first token, in random order."""
    half = len(row) // 2
    if len(row) < _FEWEST:
        return list(row)
    return [row[0], *draw.permutation(row[1:half]).astype(int).tolist(), *row[half:]]


def _batch(rows: Sequence[Sequence[int]], trace: Trace) -> Tokens:
    return pad(rows).to(trace.tokens.ids.device)
