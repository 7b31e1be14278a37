"""What it costs to leave parts of a model out at some positions."""

from collections.abc import Sequence

from jaxtyping import Bool, Float
from torch import Tensor

from workbench.methods.contracts import Context
from workbench.methods.next_token import compare
from workbench.model.edits import Edit, Op
from workbench.model.sites import Kind, Site
from workbench.model.trace import Trace

FINAL = Site(Kind.FINAL_NORM)


def skip_cost(
    kept: Bool[Tensor, "layer batch pos"], kinds: Sequence[Kind], trace: Trace, context: Context
) -> dict[str, Float[Tensor, "batch pos"]]:
    """Run the texts with the outputs of those kinds kept at `kept` alone, zero elsewhere.

    Returns `kl`, KL(full‖skipped) of the next token in nats, and `agreement`, 1 where both have
    the same first choice. The trace must hold the state after the final norm.
    """
    edits = [
        Edit(site=Site(kind, layer), op=Op.SCALE, value=on[..., None].float())
        for layer, on in enumerate(kept)
        if not bool(on.all())
        for kind in kinds
    ]
    again = context.rerun(trace.tokens, read=(FINAL,), edits=edits)
    kl, same = compare(trace.activations[FINAL], again.activations[FINAL], context)
    return {"kl": kl, "agreement": same}
