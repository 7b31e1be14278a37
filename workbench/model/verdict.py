"""The outcome of trying one capability of one model."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a model has a capability, how far it was from its reference, and why not.

    `largest` is the largest relative error ‖a − b‖ / ‖b‖ found, `allowed` what was allowed;
    both are None where the check compares no numbers. `reason` is empty where it works.
    """

    capability: str
    works: bool
    largest: float | None = None
    allowed: float | None = None
    reason: str = ""
    hint: str = ""
