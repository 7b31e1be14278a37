"""The control of an edit: the same operation, as large, in another place."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from workbench.methods.contracts import Context
from workbench.model.edits import Edit
from workbench.model.sites import Kind
from workbench.model.spec import ModelSpec


def elsewhere(edits: Sequence[Edit], spec: ModelSpec, context: Context) -> tuple[Edit, ...]:
    """Return edits of the same kind and size in other places, the control; none where all is taken.

    Other heads of the layer, a random direction as long, or the same in a layer without an edit.
    """
    layers = {e.site.resolve(spec).layer for e in edits}
    free = [layer for layer in range(spec.n_layers) if layer not in layers]
    draw = context.stream(f"elsewhere {' '.join(str(e.site) for e in edits)}")
    order = [free[i] for i in draw.permutation(len(free))]
    found: list[Edit] = []
    for edit in edits:
        if edit.heads is not None:
            n = heads_at(edit.site.kind, spec)
            rest = [h for h in range(n) if h not in edit.heads]
            if len(rest) < len(edit.heads):
                return ()
            chosen = draw.permutation(len(rest))[: len(edit.heads)]
            found.append(replace(edit, heads=tuple(sorted(rest[i] for i in chosen))))
        elif isinstance(edit.value, Tensor) and edit.value.dim():
            way = torch.from_numpy(draw.standard_normal(tuple(edit.value.shape))).to(edit.value)
            found.append(replace(edit, value=way * (edit.value.norm() / way.norm())))
        elif edit.site.layer is not None and order:
            found.append(replace(edit, site=replace(edit.site, layer=order.pop())))
        else:
            return ()
    return tuple(found)


def heads_at(kind: Kind, spec: ModelSpec) -> int:
    """Return how many heads a site of that kind has."""
    return spec.n_key_value_heads if kind in (Kind.K, Kind.V) else spec.n_heads
