"""A batch seen from another process: how far it has come, told from its folder alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from workbench.batch.folder import DONE, PLAN, batch_folder
from workbench.batch.pace import clock
from workbench.batch.rows import count_rows
from workbench.batch.shards import MANIFEST, Manifest, unsealed
from workbench.errors import CorruptRun, RunNotFound
from workbench.runs.spec import RunSpec
from workbench.runs.store import Store

_RECENT = 20


@dataclass(frozen=True, kw_only=True)
class BatchStatus:
    """How far a batch has come.

    `tokens_per_second` is that of the last twenty shards, None before there are two;
    `seconds_left` follows from the rows per second of the same shards, and `seconds_quiet` is
    the time since the last shard. A batch is done when its runs are in the store.
    """

    name: str
    shards: int
    n_shards: int
    rows: int
    n_rows: int
    bad_rows: int
    tokens: int
    tokens_per_second: float | None
    seconds_left: float | None
    seconds_quiet: float | None
    is_done: bool

    def __str__(self) -> str:
        """Write one line for a person."""
        words = [
            f"{self.name}: shard {self.shards} of {self.n_shards}",
            f"{self.rows} of {self.n_rows} rows",
        ]
        if self.bad_rows:
            words.append(f"{self.bad_rows} bad")
        if self.tokens_per_second is not None:
            words.append(f"{self.tokens_per_second:.0f} tokens/s")
        if self.is_done:
            words.append("done")
        elif self.seconds_left is not None:
            words.append(f"{clock(self.seconds_left)} left")
        if not self.is_done and self.seconds_quiet is not None:
            words.append(f"last shard {clock(self.seconds_quiet)} ago")
        return ", ".join(words)


@dataclass(kw_only=True, eq=False)
class BatchMonitor:
    """Looks at one batch folder again and again; a manifest is read once."""

    folder: Path
    n_rows: int
    n_shards: int
    _seen: dict[Path, tuple[float, Manifest]] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store, name: str = "") -> "BatchMonitor":
        """Find a batch by name, or the one that was written to last, and count its rows.

        Raises:
            RunNotFound: there is no such batch.
            DataError: the data file cannot be read any more.
        """
        folder = batch_folder(store, name) if name else _latest(store)
        try:
            body = unsealed((folder / PLAN).read_bytes(), PLAN)
        except OSError as error:
            raise RunNotFound(
                f"no batch {folder.name} in {store.folder}", hint="workbench batch SPEC.toml"
            ) from error
        count = count_rows(RunSpec.from_dict(body["specs"][0]).data)
        n_shards = count.n_shards(body["shard_rows"])
        return cls(folder=folder, n_rows=count.n_rows, n_shards=n_shards)

    def look(self, now: float) -> BatchStatus:
        """Say how far it is; `now` is the time in seconds since the epoch."""
        found = sorted(self._manifests(), key=lambda pair: pair[0])
        shards = [manifest for _, manifest in found]
        rows = sum(m.n_rows for m in shards)
        recent = found[-_RECENT:]
        # The first of them only tells when the clock began.
        span = recent[-1][0] - recent[0][0] if len(recent) > 1 else 0.0
        speed = sum(m.n_tokens for _, m in recent[1:]) / span if span > 0 else None
        pace = sum(m.n_rows for _, m in recent[1:]) / span if span > 0 else None
        return BatchStatus(
            name=self.folder.name,
            shards=len(shards),
            n_shards=self.n_shards,
            rows=rows,
            n_rows=self.n_rows,
            bad_rows=sum(m.n_bad for m in shards),
            tokens=sum(m.n_tokens for m in shards),
            tokens_per_second=speed,
            seconds_left=(self.n_rows - rows) / pace if pace else None,
            seconds_quiet=max(0.0, now - found[-1][0]) if found else None,
            is_done=(self.folder / DONE).exists(),
        )

    def follow(self, now: Callable[[], float], wait: Callable[[], None]) -> Iterator[BatchStatus]:
        """Yield what is seen whenever it changed, until the batch is done."""
        last = (-1, False)
        while not last[1]:
            sight = self.look(now())
            if (sight.shards, sight.is_done) != last:
                last = (sight.shards, sight.is_done)
                yield sight
            if not sight.is_done:
                wait()

    def _manifests(self) -> Iterator[tuple[float, Manifest]]:
        for folder in (self.folder / "shards").glob("[0-9]*"):
            path = folder / MANIFEST
            try:
                written = path.stat().st_mtime
                if path not in self._seen or self._seen[path][0] != written:
                    body = unsealed(path.read_bytes(), MANIFEST)
                    self._seen[path] = (written, Manifest(**body))
            except (OSError, CorruptRun, TypeError):
                # It is being replaced, or damaged: the next --resume says so.
                continue
            yield self._seen[path]


def _latest(store: Store) -> Path:
    plans = list((store.folder / "batches").glob(f"*/{PLAN}"))
    if not plans:
        raise RunNotFound(f"no batch in {store.folder}", hint="workbench batch SPEC.toml")
    return max((plan.parent for plan in plans), key=_touched)


def _touched(folder: Path) -> float:
    shards = folder / "shards"
    return max(path.stat().st_mtime for path in (folder, shards) if path.exists())
