"""The folder of one batch: locked while in use, checked when taken up again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from workbench.batch.plan import BatchPlan
from workbench.batch.shards import (
    Manifest,
    clear_drafts,
    disk_error,
    read_manifest,
    sealed,
    unsealed,
    write_file,
)
from workbench.errors import CorruptRun, InputError, StoreError
from workbench.runs.store import Store

PLAN = "plan.json"
DONE = "done.json"
QUARANTINE = "quarantine.jsonl"


def batch_folder(store: Store, name: str) -> Path:
    """Return where the batch of that name stands, which cannot lie outside the store."""
    store.path(name)
    return store.folder / "batches" / name


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder alone; the system lets go of it when the process ends, however it ends.

    Raises:
        StoreError: another process holds it, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise StoreError(
            f"another process is writing {folder}",
            hint="wait for it, or give the plan another name",
        ) from error
    except OSError as error:
        raise disk_error(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def begin(folder: Path, plan: BatchPlan, *, resume: bool) -> list[str]:
    """Take a folder for a plan; return the files found damaged and written anew.

    Raises:
        InputError: the folder holds work already and `resume` is off, or another plan's work.
    """
    path = folder / PLAN
    content = sealed(plan.as_dict())
    has_work = path.exists() or any((folder / "shards").glob("[0-9]*"))
    if has_work and not resume:
        raise InputError(
            f"{folder} holds this batch already, or a part of it",
            hint="--resume checks it and goes on; another name in the plan begins anew",
        )
    clear_drafts(folder)
    damaged: list[str] = []
    if path.exists():
        try:
            found = unsealed(path.read_bytes(), PLAN)
        except CorruptRun:
            damaged.append(PLAN)
        else:
            if found != unsealed(content, PLAN):
                raise InputError(
                    f"{folder} holds the work of another plan: {_difference(found, plan)} differ",
                    hint="give the plan another name",
                )
    elif has_work:
        damaged.append(PLAN)
    if damaged or not path.exists():
        write_file(path, content)
    return damaged


def check_shard(folder: Path, number: int, plan: BatchPlan, damaged: list[str]) -> Manifest | None:
    """Return the manifest of a whole shard of this plan, None where it must be computed.

    A damaged shard is named in `damaged`.
    """
    try:
        manifest = read_manifest(folder, number)
    except CorruptRun as error:
        damaged.append(error.message)
        return None
    if manifest is not None and manifest.plan != plan.hash:
        damaged.append(f"shards/{number:06d} belongs to another plan")
        return None
    return manifest


def _difference(found: dict[str, object], plan: BatchPlan) -> str:
    wanted = plan.as_dict()
    names = [key for key in wanted if found.get(key) != wanted[key]]
    return ", ".join(names) or "its keys"
