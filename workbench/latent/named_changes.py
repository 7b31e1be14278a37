"""Changes to a chain of latent inputs that have a name, for methods and for front ends."""

from collections.abc import Mapping
from dataclasses import dataclass

from workbench.errors import BadOption
from workbench.latent.interventions import Intervention

ANSWER, SPLICE, TOKENS = "answer-now", "tokens-after", "tokens"


@dataclass(frozen=True)
class NamedChange:
    """What a change does, in a few words.

    `to_gate` is what it does to a gated mixture, None where it needs no gate. Changes with
    `has_step` act from one step on.
    """

    words: str
    to_gate: Intervention | None = None
    has_step: bool = False


CHANGES: Mapping[str, NamedChange] = {
    "closed": NamedChange("closed gate: every thought is fed as its token", Intervention(gate=1.0)),
    "top-1": NamedChange(
        "the likeliest token alone in place of the mixture", Intervention(mixture="top-1")
    ),
    "mean": NamedChange("the mean embedding in place of the mixture", Intervention(mixture="mean")),
    "noise": NamedChange(
        "a random direction in place of the mixture", Intervention(mixture="noise")
    ),
    "without-drawn": NamedChange(
        "the written token left out of the mixture", Intervention(drawn=True)
    ),
    TOKENS: NamedChange("tokens are fed throughout"),
    ANSWER: NamedChange("the thinking ends at a step", has_step=True),
    SPLICE: NamedChange("tokens are fed from a step on", Intervention(gate=1.0), has_step=True),
    "open": NamedChange("open gate: the mixture alone is fed", Intervention(gate=0.0)),
}


def named_changes(names: str) -> tuple[str, ...]:
    """Return the changes of a comma-separated list.

    Raises:
        BadOption: one does not exist.
    """
    found = tuple(dict.fromkeys(n.strip() for n in names.split(",") if n.strip()))
    unknown = sorted(set(found) - set(CHANGES))
    if unknown:
        raise BadOption(f"no intervention {', '.join(unknown)}; known: {', '.join(CHANGES)}")
    return found
