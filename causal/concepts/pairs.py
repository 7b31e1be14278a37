"""Single pairs as tables: both texts, and what every explainer says of the change between them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from causal.concepts.rows import Concepts
from workbench.result.tables import columns_from

TRUE, SUBSPACES = "true", "random subspaces"
BAND = "random "
Guesses = Mapping[tuple[str, int], NDArray[np.float64]]
COLUMNS = columns_from("""
    pair: Number of the pair, from 0.
    source: Text that is explained.
    target: Text with the other value.
    value: Value of the concept in the source.
    wanted: Value of the concept in the target.
    size (probability): ‖p(x′) − p(x)‖ of this pair.
    answer: What may come next.
    explainer: How the effect is explained; true is what the target text does.
    layer: Layer of the edit; explainers without one are the same at all.
    effect (probability): Change of the answer's probability.
    effect_low (probability): Lowest effect among random subspaces.
    effect_high (probability): Highest effect among random subspaces.
""")
_SHOWN = 12


def pair_rows(rows: Concepts, true: Float[np.ndarray, "pair n_class"]) -> list[dict[str, Any]]:
    """Return a row per pair: its texts and values, and how large the true effect is."""
    return [
        {
            "pair": k,
            "source": rows.texts[i],
            "target": rows.texts[j],
            "value": str(rows.t[i]),
            "wanted": str(rows.t[j]),
            "size": float(np.linalg.norm(true[k])),
        }
        for k, (i, j) in enumerate(rows.pairs)
    ]


def explained_rows(
    guesses: Guesses,
    true: Float[np.ndarray, "pair n_class"],
    answers: Sequence[str],
    layers: Sequence[int],
) -> list[dict[str, Any]]:
    """Return what each explainer says of each answer at every layer, of the first pairs.

    Random subspaces are one explainer: their mean, with the lowest and the highest of them.
    """
    named = [name for name in dict.fromkeys(n for n, _ in guesses) if not name.startswith(BAND)]
    found = []
    for k in range(min(_SHOWN, len(true))):
        for c, answer in enumerate(answers):
            for layer in layers:
                about = {"pair": k, "answer": answer.strip(), "layer": layer}
                said = {TRUE: float(true[k, c])}
                said |= {name: float(guesses[name, layer][k, c]) for name in named}
                found += [{**about, "explainer": n, "effect": x} for n, x in said.items()]
                found.append({**about, **_band(guesses, layer, k, c)})
    return found


def _band(guesses: Guesses, layer: int, pair: int, answer: int) -> dict[str, Any]:
    drawn = [
        x[pair, answer] for (n, at), x in guesses.items() if n.startswith(BAND) and at == layer
    ]
    return {
        "explainer": SUBSPACES,
        "effect": float(np.mean(drawn)),
        "effect_low": float(np.min(drawn)),
        "effect_high": float(np.max(drawn)),
    }
