"""One vector per text at every site, for methods that fit to all of them at once."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from workbench.errors import NotFinite
from workbench.methods.contracts import Context
from workbench.methods.evaluate import one_vector_per_text
from workbench.model.model import Model
from workbench.model.sites import Site
from workbench.model.tokens import pad

_BATCH_TOKENS = 2048


def text_vectors(
    model: Model,
    texts: Sequence[str],
    sites: Sequence[Site],
    context: Context,
    *,
    label: str = "texts",
) -> dict[Site, Float[np.ndarray, "n d_model"]]:
    """Return the vector of every text: at the positions of a site, or the mean over all.

    Texts run in batches of similar length.

    Raises:
        NotFinite: a vector holds NaN or infinity.
        TooLittleData: a text holds no token.
    """
    rows = [model.tokenize(text).row(0) for text in texts]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found = {site: np.zeros((len(rows), 0), np.float32) for site in sites}
    done = 0
    while done < len(order):
        n = 1
        while done + n < len(order) and (n + 1) * len(rows[order[done + n]]) <= _BATCH_TOKENS:
            n += 1
        mine = order[done : done + n]
        trace = model.run(pad([rows[i] for i in mine]).to(model.device), read=sites)
        for site in sites:
            x = one_vector_per_text(trace, site).cpu()
            if not bool(torch.isfinite(x).all()):
                raise NotFinite(f"{site} holds NaN or infinity", hint="load the model in float32")
            if not found[site].shape[1]:
                found[site] = np.zeros((len(rows), x.shape[1]), np.float32)
            found[site][mine] = x.numpy()
        done += n
        context.progress(done, len(order), label)
    return found
