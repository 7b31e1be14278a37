"""The folder that keeps runs: one folder per run, written whole or not at all."""

import errno
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from workbench.config import settings
from workbench.errors import RunNotFound, StoreError, WorkbenchError
from workbench.result.tables import Table
from workbench.runs.folder import NAME, flush, index_entry, read_run, write_run
from workbench.runs.index import Index
from workbench.runs.run import Run

_ORPHAN = re.compile(r"\.draft-(?P<run_id>.+)-[0-9a-f]{8}-\d+-old")
_TRIES = 8


class Store:
    """A folder of runs with an index that can always be rebuilt from them."""

    def __init__(self, folder: Path | str | None = None) -> None:
        """Open (and create if needed) the store at `folder`, by default `WORKBENCH_STORE`.

        Raises:
            StoreError: the folder cannot be created or read.
        """
        if folder == "":
            raise StoreError(
                "the name of the store is empty", hint="leave it out, or name a folder"
            )
        self.folder = Path(folder) if folder is not None else settings().store
        self.runs = self.folder / "runs"
        with _disk_errors(self.folder):
            self.runs.mkdir(parents=True, exist_ok=True)
        _restore_orphans(self.runs)
        self.index = Index(self.folder / "index.sqlite", self)

    def path(self, run_id: str) -> Path:
        """Return the folder of a run id, which cannot lie outside the store.

        Raises:
            StoreError: the id is not a plain name.
        """
        if not NAME.fullmatch(run_id) or ".." in run_id:
            raise StoreError(
                f"{run_id!r} is not a run id; expected letters, digits, '.', '_' and '-'",
                hint="`workbench runs list` shows the ids",
            )
        return self.runs / run_id

    def __contains__(self, run_id: str) -> bool:
        """Whether the store holds that run."""
        return self.path(run_id).is_dir()

    def put(self, run: Run) -> Path:
        """Write a run, replacing an older one of the same id; a crash leaves the old one whole.

        Raises:
            StoreError: the disk is full or not writable.
        """
        target = self.path(run.run_id)
        draft = self.runs / f".draft-{run.run_id}-{uuid.uuid4().hex[:8]}"
        try:
            with _disk_errors(self.folder):
                write_run(run, draft)
                _swap(draft, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        self.index.add(run.run_id)
        return target

    def status(self, run_id: str) -> str | None:
        """Return a run's status, `corrupt` if it cannot be read, None if there is no such run."""
        return str(self.entry(run_id)["status"]) if run_id in self else None

    def get(self, run_id: str, *, verify: bool = True) -> Run:
        """Read a run back, checking every file against its checksum.

        A unique beginning of an id is enough.

        Raises:
            RunNotFound: no run, or more than one, begins like that.
            CorruptRun: a file is missing or was changed.
        """
        return read_run(self.path(self.complete(run_id)), verify=verify)

    def complete(self, prefix: str) -> str:
        """Return the one run id that begins with `prefix`.

        Raises:
            RunNotFound: none does, or several do.
        """
        if prefix in self:
            return prefix
        ids = sorted(name for name in self.names() if name.startswith(prefix))
        if len(ids) == 1:
            return ids[0]
        found = f"{len(ids)} runs begin with it: {', '.join(ids[:5])}" if ids else "none does"
        raise RunNotFound(f"no run {prefix!r}: {found}", hint="`workbench runs list`")

    def find(self, **filters: str) -> Table:
        """List runs, newest first, whose index columns equal the filters."""
        return self.index.find(**filters)

    def scratch(self, run_id: str) -> Path:
        """Return the folder where an unfinished run keeps what lets it resume."""
        self.path(run_id)
        return self.folder / "scratch" / run_id

    def checkpoint(self, run_id: str) -> Path:
        """Return the folder where a training run keeps its weights, and what lets it resume."""
        self.path(run_id)
        return self.folder / "checkpoints" / run_id

    def clear_scratch(self, run_id: str) -> None:
        """Delete what an unfinished run kept."""
        shutil.rmtree(self.scratch(run_id), ignore_errors=True)

    def remove(self, run_id: str) -> str:
        """Delete a run, with the weights it trained, and return its id.

        Raises:
            RunNotFound: no such run.
        """
        found = self.complete(run_id)
        with _disk_errors(self.folder):
            shutil.rmtree(self.path(found))
            shutil.rmtree(self.checkpoint(found), ignore_errors=True)
        self.index.remove(found)
        return found

    def names(self) -> set[str]:
        """Return the ids of all runs, corrupt ones included."""
        with _disk_errors(self.folder):
            folders = list(self.runs.iterdir())
        return {f.name for f in folders if NAME.fullmatch(f.name) and f.is_dir()}

    def entry(self, run_id: str) -> dict[str, Any]:
        """Return the index row of one run; a corrupt run has one too."""
        return index_entry(self.path(run_id))


def _swap(draft: Path, target: Path) -> None:
    # Two processes may put the same run at once: whoever finds the place taken moves it aside
    # again. What was moved aside is deleted only when something else stands in its place.
    for attempt in range(_TRIES):
        old = draft.with_name(f"{draft.name}-{attempt}-old")
        try:
            with suppress(FileNotFoundError):
                target.rename(old)
            draft.rename(target)
            break
        except OSError as error:
            if old.exists() and not target.exists():
                old.rename(target)
            is_taken = error.errno in (errno.ENOTEMPTY, errno.EEXIST)
            if not is_taken or attempt == _TRIES - 1:
                raise
    flush(target.parent)
    for old in draft.parent.glob(f"{draft.name}-*-old"):
        shutil.rmtree(old, ignore_errors=True)


def _restore_orphans(runs: Path) -> None:
    # A crash between the two renames of a swap leaves the old run moved aside.
    for old in runs.glob(".draft-*-old"):
        match = _ORPHAN.fullmatch(old.name)
        if match and not (runs / match["run_id"]).exists():
            with suppress(OSError):
                old.rename(runs / match["run_id"])


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, WorkbenchError):
            raise
        # A path that no system call takes, with a null byte in it, is a ValueError.
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise StoreError(
            f"cannot write to {str(folder)!r}: {reason}",
            hint="free some space, or set WORKBENCH_STORE to another disk"
            if full
            else "set WORKBENCH_STORE to a folder you may write to",
        ) from error
