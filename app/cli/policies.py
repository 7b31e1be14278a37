"""Decoding policies by name, with the settings each of them takes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from workbench.errors import InputError

if TYPE_CHECKING:
    from workbench.model.own_loop import AnyPolicy
    from workbench.model.policy import Sampling

SETTINGS = {
    "greedy": (),
    "sample": ("temperature", "top_p", "top_k"),
    "contrastive": ("k", "alpha", "skip_first"),
    "momentum": ("k", "alpha"),
    "backspace": ("backspace", "bias", "temperature", "top_p", "top_k"),
    "beam": ("width", "exact_length"),
    "hidden-states": ("rate", "window", "temperature", "top_p", "top_k"),
    "reward": ("reward", "weight", "temperature", "top_p", "top_k"),
    "speculative": ("draft", "length", "paths", "temperature", "top_p", "top_k"),
}
FLAGS = (
    click.Option(["--backspace"], type=int, help="backspace: the token that takes one back."),
    click.Option(["--width"], type=int, help="beam: beginnings kept.  [default: 4]"),
    click.Option(["--exact-length"], type=int, help="beam: tokens before the end; any without."),
    click.Option(["--rate"], type=float, help="hidden-states: step of Adam.  [default: 0.003]"),
    click.Option(["--window"], type=int, help="hidden-states: tokens per step.  [default: 8]"),
    click.Option(["--bias"], type=float, help="backspace: nats added to its logit.  [default: 0]"),
    click.Option(
        ["--reward"], multiple=True, help="reward: a reward model.  [default: the model itself]"
    ),
    click.Option(["--weight"], type=float, multiple=True, help="reward: weight α of each.  [1]"),
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
    given = {key: value for key, value in settings.items() if value not in (None, ())}
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
    if name == "backspace":
        from reasoning.policy_backspace import Backspace

        token, bias = given.get("backspace"), given.get("bias", 0.0)
        if token is None:
            raise InputError(
                "the policy backspace was given no token that takes one back",
                hint="--backspace ID, such as 0; --bias 5 makes it likelier",
            )
        return Backspace(token=token, bias=bias, base=_base(given))
    if name in ("beam", "hidden-states"):
        return _searching(name, given)
    if name == "reward":
        return _reward(given)
    if name == "speculative":
        return _speculative(given)
    from workbench.model.policy import GREEDY, Sampling

    return GREEDY if name == "greedy" else Sampling(**given)


def _searching(name: str, given: Mapping[str, Any]) -> "AnyPolicy":
    if name == "beam":
        from reasoning.policy_beam import BeamSearch

        return BeamSearch(width=given.get("width", 4), length=given.get("exact_length"))
    from reasoning.policy_hidden_states import HiddenStateOptimisation

    own = {key: given[key] for key in ("rate", "window") if key in given}
    return HiddenStateOptimisation(**own, base=_base(given))


def _speculative(given: Mapping[str, Any]) -> "AnyPolicy":
    from reasoning.drafts import parse_draft
    from reasoning.policy_speculative import Speculative

    draft = parse_draft(given.get("draft", "tree"), paths=given.get("paths", 1))
    return Speculative(draft=draft, base=_base(given), length=given.get("length", 4))


def _reward(given: Mapping[str, Any]) -> "AnyPolicy":
    from reasoning.policy_reward import RewardGuided
    from workbench.model.loading import load_model

    rewards = tuple(map(load_model, given.get("reward", ())))
    weights = tuple(given.get("weight", (1.0,) * max(len(rewards), 1)))
    return RewardGuided(rewards=rewards, weights=weights, base=_base(given))


def _base(given: Mapping[str, Any]) -> "Sampling":
    """Return how a token is taken from a distribution: greedy unless a temperature is given."""
    from workbench.model.policy import Sampling

    chosen = {k: v for k, v in given.items() if k in SETTINGS["sample"]}
    return Sampling(**{"temperature": 0.0, **chosen})
