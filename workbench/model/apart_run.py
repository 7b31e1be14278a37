"""One run over a batch whose rows cannot be run side by side: rows of equal length together."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.model.backend import Inputs, Outputs, Wanted
from workbench.model.edits import Edit
from workbench.model.policy import Host
from workbench.model.row_groups import Place, equal_rows
from workbench.model.sites import Site
from workbench.model.tokens import Tokens


def plain_inputs(
    ids: Tensor | None, embeds: Tensor | None, cache: object = None, before: int = 0
) -> Inputs:
    """Return the inputs of rows without padding, `before` positions of which are in the cache."""
    given = ids if embeds is None else embeds
    if given is None:
        raise ValueError("neither ids nor embeds")
    n, width = given.shape[:2]
    return Inputs(
        ids=ids if embeds is None else None,
        embeds=embeds,
        mask=torch.ones((n, before + width), dtype=torch.bool, device=given.device),
        position_ids=torch.arange(before, before + width, device=given.device).expand(n, -1),
        cache=cache,
        needs_mask=False,
    )


def run_apart(
    model: Host,
    tokens: Tokens,
    *,
    read: Sequence[Site],
    edits: Sequence[Edit],
    logits: Wanted,
    embeds: Float[Tensor, "batch pos d_model"] | None,
) -> Outputs:
    """Run the rows of a batch in groups of equal length, without padding.

    The outputs have the layout of the batch, with zeros where it is padded.
    """
    found = Joined(logits)
    for place in equal_rows(tokens):
        inputs = plain_inputs(
            place.take(tokens.ids), None if embeds is None else place.take(embeds)
        )
        found.add(place, model.forward(inputs, read=read, edits=place.edits(edits), logits=logits))
    return found.outputs()


class Joined:
    """Outputs of groups of rows, put together in the layout of the batch."""

    def __init__(self, logits: Wanted) -> None:
        """Start with nothing; `logits` is what every group was asked for."""
        self._wanted = logits
        self._logits: Tensor | None = None
        self._captured: dict[Site, Tensor] = {}

    def add(self, place: Place, out: Outputs) -> None:
        """Put in what one group gave."""
        if out.logits is not None:
            put = place.put if self._wanted == "all" else place.put_rows
            self._logits = put(self._logits, out.logits)
        for site, x in out.captured.items():
            whole = self._captured.get(site)
            self._captured[site] = place.put_site(whole, x, site)

    def outputs(self) -> Outputs:
        """Return everything."""
        return Outputs(logits=self._logits, captured=self._captured)
