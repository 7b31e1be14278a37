"""What a lens has counted of some token rows."""

import numpy as np
import torch

from workbench.methods.contracts import Context, Example
from workbench.methods.per_unit_state import PerUnitAccumulator


def lens_context(model, **more):
    return Context(
        spec=model.spec, unembed=model.unembed, decode=model.decode, resamples=100, **more
    )


def counted(model, probe, tokens, context=None):
    context = context or lens_context(model)
    accumulator = PerUnitAccumulator(probe, context)
    add(accumulator, model, tokens)
    return accumulator


def add(accumulator, model, tokens):
    trace = model.run(tokens, read=accumulator.probe.sites(model.spec))
    accumulator.add(trace, [Example(text="x", number=i) for i in range(len(tokens.lengths))])


def means_of(accumulator):
    """The means of every text, by kind and metric."""
    state = accumulator.state()
    return {
        name.removeprefix("sum/").removesuffix("/layer"): np.where(
            state[name.replace("sum/", "count/", 1)] > 0, x, np.nan
        )
        for name, x in state.items()
        if name.startswith("sum/") and name.endswith("/layer")
    }


def rows_of(seed=0, lengths=(9, 6, 12)):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(4, 60, (n,), generator=generator).tolist() for n in lengths]
