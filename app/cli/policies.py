"""Decoding policies by name, with the settings each of them takes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.errors import InputError

if TYPE_CHECKING:
    from workbench.model.policy import Policy

SETTINGS = {
    "greedy": (),
    "sample": ("temperature", "top_p", "top_k"),
    "contrastive": ("k", "alpha", "skip_first"),
    "momentum": ("k", "alpha"),
}


def make_policy(name: str, settings: Mapping[str, Any]) -> "Policy":
    """Build a policy from the settings that were given; None is not given.

    Raises:
        InputError: a setting that the policy does not take.
        BadOption: a setting out of bounds.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    extra = [f"--{key.replace('_', '-')}" for key in given if key not in SETTINGS[name]]
    if extra:
        takes = ", ".join(f"--{key.replace('_', '-')}" for key in SETTINGS[name]) or "no settings"
        raise InputError(
            f"{', '.join(extra)} means nothing to the policy {name}, which takes {takes}",
            hint=f"choose another --policy: {', '.join(SETTINGS)}",
        )
    if name == "contrastive":
        from reasoning.policy_contrastive import ContrastiveSearch

        return ContrastiveSearch(**given)
    if name == "momentum":
        from reasoning.policy_momentum import MomentumDecoding

        return MomentumDecoding(**given)
    from workbench.model.policy import GREEDY, Sampling

    return GREEDY if name == "greedy" else Sampling(**given)
