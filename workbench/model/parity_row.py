"""One row of the parity table."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["works", "differs", "refused", "reported"]


@dataclass(frozen=True, kw_only=True)
class ParityRow:
    """One comparison: how far a backend is from its reference.

    `largest` and `mean` are relative errors per token, ‖a − b‖ / ‖b‖, over real tokens but the
    first of each text, whose states are so large that they would hide the others; for generated
    text, the share of tokens that differ. `largest` is None where nothing was compared, with the
    reason in `note`. `allowed` is None where nothing is demanded. A site is `refused` where its
    own check failed: asking for it is an error, so it does not count against the backend.
    """

    backend: str
    attention: str
    check: str
    batch: str = ""
    reference: str = ""
    largest: float | None = None
    mean: float | None = None
    allowed: float | None = None
    n_tokens: int = 0
    note: str = ""
    refused: bool = False

    @property
    def passed(self) -> bool:
        """Whether the difference is within what is allowed, or nothing is offered."""
        if self.refused or self.largest is None or self.allowed is None:
            return True
        return self.largest <= self.allowed

    @property
    def outcome(self) -> Outcome:
        """What the row says: it works, it differs, it is refused, or it is only reported."""
        if self.refused:
            return "refused"
        if self.largest is not None and self.allowed is None:
            return "reported"
        return "works" if self.passed else "differs"
