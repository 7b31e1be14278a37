"""Edits that a run found and kept, to be used again by its id."""

import torch

from workbench.errors import BadEdit
from workbench.model.edits import Edit, Op
from workbench.model.sites import Site
from workbench.model.spec import ModelSpec
from workbench.runs.run import Run

EDITS = "edits"


def stored_edits(run: Run, spec: ModelSpec, scale: float = 1.0) -> tuple[Edit, ...]:
    """Return the edits in a run's table `edits`: an operation, a site and one of its arrays each.

    `scale` multiplies what is added or set.

    Raises:
        BadEdit: the run keeps no edits, made them on other weights, or they cannot be scaled.
    """
    table = run.result.tables.get(EDITS) if run.result is not None else None
    if run.result is None or table is None:
        raise BadEdit(f"{run.run_id} keeps no edits", hint="steering keeps one")
    made_on = run.provenance.get("model", {})
    if made_on.get("weights_hash") != spec.weights_hash:
        raise BadEdit(
            f"{run.run_id} found its edits on {made_on.get('name') or 'no model'}, "
            f"not on {spec.name}",
            hint="run it again on this model",
        )
    found = []
    for row in table.rows():
        op, array = Op(row["op"]), run.result.arrays[row["array"]]
        if scale != 1 and op not in (Op.ADD, Op.SET):
            raise BadEdit(f"an edit that is to {op} cannot be scaled", hint=f"run:{run.run_id}")
        value = torch.from_numpy(array.copy())
        found.append(
            Edit(site=Site.parse(row["site"]), op=op, value=value if scale == 1 else value * scale)
        )
    return tuple(found)
