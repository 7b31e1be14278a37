"""Decoding policies by name, with the settings each of them takes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from workbench.errors import InputError

if TYPE_CHECKING:
    from workbench.model.own_loop import AnyPolicy

SETTINGS = {
    "greedy": (),
    "sample": ("temperature", "top_p", "top_k"),
    "contrastive": ("k", "alpha", "skip_first"),
    "momentum": ("k", "alpha"),
    "speculative": ("draft", "length", "paths", "temperature", "top_p", "top_k"),
}
FLAGS = (
    click.Option(
        ["--draft"], help="speculative: tree, layers:N or a second model.  [default: tree]"
    ),
    click.Option(
        ["--length"], type=int, help="speculative: drafted tokens per call.  [default: 4]"
    ),
    click.Option(["--paths"], type=int, help="speculative: drafts side by side.  [default: 1]"),
)
"""The flags that only some policies know."""


def make_policy(name: str, settings: Mapping[str, Any]) -> "AnyPolicy":
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
    if name == "speculative":
        return _speculative(given)
    from workbench.model.policy import GREEDY, Sampling

    return GREEDY if name == "greedy" else Sampling(**given)


def _speculative(given: Mapping[str, Any]) -> "AnyPolicy":
    from reasoning.drafts import parse_draft
    from reasoning.policy_speculative import Speculative
    from workbench.model.policy import Sampling

    chosen = {"temperature": 0.0, **{k: v for k, v in given.items() if k in SETTINGS["sample"]}}
    draft = parse_draft(given.get("draft", "tree"), paths=given.get("paths", 1))
    return Speculative(draft=draft, base=Sampling(**chosen), length=given.get("length", 4))
