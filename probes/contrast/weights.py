"""What the contrast made of rejected responses: the score and weight of every token."""

from collections.abc import Sequence

import torch

from probes.contrast.objectives import Pair
from workbench.model.model import Model
from workbench.result.estimate import Estimate
from workbench.result.intervals import mean_estimate
from workbench.result.tables import Table, columns_from
from workbench.result.views import TokenStrip

SHOWN = 24

_REJECTED = columns_from("""
    pair: Number of the pair.
    position (tokens): Response tokens up to and including this one.
    token: The token of the rejected response.
    s (probability): Contrastive score; low marks a critical token.
    weight: What the token counts on the rejected side: 1 − s.
    reference (probability): Probability under the base model.
""")


def weight_table(pairs: Sequence[Pair], model: Model) -> Table:
    """Return the tokens of the first rejected responses with their weights."""
    rows = []
    for number, pair in enumerate(pairs[:SHOWN]):
        likely = pair.rejected_reference.exp()
        for i, token in enumerate(pair.rejected.response):
            weight = float(pair.weights[i])
            rows.append(
                {
                    "pair": number,
                    "position": i + 1,
                    "token": model.decode([token]),
                    "s": 1 - weight,
                    "weight": weight,
                    "reference": float(likely[i]),
                }
            )
    return Table.from_rows(rows, _REJECTED)


def mean_weight(pairs: Sequence[Pair]) -> Estimate:
    """Return the mean weight of a rejected token, responses being the units; DPO has one."""
    return mean_estimate(
        "mean weight of rejected tokens",
        [float(pair.weights.mean(dtype=torch.float64)) for pair in pairs],
        unit="weight",
        n_unit="pairs",
    )


def weight_view() -> TokenStrip:
    """Return the strip of rejected tokens, one per pair."""
    return TokenStrip(
        "Contrastive score of rejected tokens",
        "rejected",
        token="token",
        color="s",
        rows=("weight", "reference"),
        group="pair",
    )
