"""What an examination will cost, told before it begins."""

from collections.abc import Sequence

from probes.critical.sample import WrongAnswer
from probes.critical.search import OFF_PATH_SHARE, Mode

SHARES: dict[Mode, float] = {
    "exhaustive": 1.0,
    "paper-identical": 0.7,
    "screening": 0.2,
    "off-path": OFF_PATH_SHARE,
}
"""Draws of each mode over exhaustive ones, as measured on arithmetic of the embedded model."""


def expected_seconds(
    answers: Sequence[WrongAnswer], *, mode: Mode, draws: int, alternatives: bool
) -> float | None:
    """Return the expected wall time of examining these responses in seconds, None if unknown.

    A continuation is taken to last half as long as a whole response did when it was sampled.
    """
    known = [answer.seconds for answer in answers if answer.seconds is not None]
    if not known:
        return None
    positions = sum(max(len(answer.response) - 1, 1) for answer in answers)
    forced = 2 * len(answers) if alternatives else 0
    return (positions * SHARES[mode] + forced) * draws * sum(known) / len(known) / 2


def in_words(seconds: float | None) -> str:
    """Return an expected time for a progress label; empty if unknown."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f", about {max(round(seconds), 1)} s"
    return (
        f", about {seconds / 60:.0f} min" if seconds < 5400 else f", about {seconds / 3600:.1f} h"
    )
