"""Which rows of a batch may run side by side so that each gives what it gives alone."""

from collections.abc import Sequence

from workbench.model.capabilities import verdict
from workbench.model.policy import RowPlan
from workbench.model.subject import Subject
from workbench.model.tokens import Tokens

PADDING = {"left": "padding left", "right": "padding right"}
CACHE, CACHE_SEVERAL = "cache", "cache, several tokens at once"


def runs_together(model: Subject, tokens: Tokens) -> bool:
    """Whether one forward pass over the batch gives every row what it gives alone.

    Rows that are padded on a side where this model notices padding, or that need different
    rotary frequencies, are run in groups of equal length instead.
    """
    if model.switch is not None and model.switch.divides(tokens.lengths):
        return False
    return all(verdict(model, PADDING[side]).works for side in tokens.padded_sides)


def shares_beginning(model: Subject, lengths: Sequence[int]) -> bool:
    """Whether texts of those lengths may share the cache of their common beginning.

    The rest of each is added to it at once, padded on either side.
    """
    if model.switch is not None and model.switch.divides([1, *lengths]):
        return False
    needed = (CACHE, CACHE_SEVERAL, *PADDING.values())
    return all(verdict(model, capability).works for capability in needed)


def row_plan(model: Subject, tokens: Tokens, *, more: int) -> RowPlan:
    """Say how rows that are padded on the left run, during `more` generated tokens as well."""
    keeps = verdict(model, CACHE).works
    if model.switch is not None:
        longest = max(tokens.lengths) + max(more - 1, 0)
        if model.switch.divides([min(tokens.lengths), min(longest, model.spec.max_positions)]):
            return RowPlan(together=False, keeps=keeps)
    together = not tokens.padded_sides or verdict(model, PADDING["left"]).works
    return RowPlan(together=together, keeps=keeps)
