"""What a user sets of the sentence lens, as its parts need it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is read, in which ways, and how much is written; see the probe's options."""

    sentences: int
    every: int
    raw: bool
    normed: bool
    tuned: bool
    rank: int
    fitted: int
    controls: int
    limit: int
    longest: int
    step: int = 1
    noise: float = 0.5
    sentence: str = ""

    def layers(self, n_layers: int) -> tuple[int, ...]:
        """Return every k-th layer, counted back from the last one."""
        return tuple(reversed(range(n_layers - 1, -1, -self.every)))
