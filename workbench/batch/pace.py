"""How fast a batch goes, and how long it will take."""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from workbench.batch.shards import Manifest


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Where a batch stands: rows, tokens per second of this process, seconds left, peak memory."""

    shards: int
    n_shards: int
    rows: int
    n_rows: int
    tokens_per_second: float
    seconds_left: float
    peak_mb: float

    def __str__(self) -> str:
        """Write one line for a person."""
        return (
            f"shard {self.shards} of {self.n_shards}, {self.rows} of {self.n_rows} rows, "
            f"{self.tokens_per_second:.0f} tokens/s, {clock(self.seconds_left)} left, "
            f"peak {self.peak_mb:.0f} MB"
        )


@dataclass(kw_only=True)
class Pacer:
    """Counts committed shards and tells `told` the pace after each."""

    n_shards: int
    n_rows: int
    told: Callable[[Pace], None]
    shards: int = 0
    rows: int = 0
    _computed: int = 0
    _tokens: int = 0
    _started: float = field(default_factory=time.perf_counter)

    def found(self, manifest: Manifest) -> None:
        """Count a shard that was there already."""
        self.shards += 1
        self.rows += manifest.n_rows

    def computed(self, manifest: Manifest) -> None:
        """Count a shard that was computed now."""
        self.found(manifest)
        self._computed += manifest.n_rows
        self._tokens += manifest.n_tokens
        seconds = time.perf_counter() - self._started
        left = (self.n_rows - self.rows) * seconds / self._computed
        self.told(
            Pace(
                shards=self.shards,
                n_shards=self.n_shards,
                rows=self.rows,
                n_rows=self.n_rows,
                tokens_per_second=self._tokens / seconds,
                seconds_left=left,
                peak_mb=peak_memory_mb(),
            )
        )


def peak_memory_mb() -> float:
    """Return the most memory this process has held, in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def clock(seconds: float) -> str:
    """Write a time as hours, minutes and seconds."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
