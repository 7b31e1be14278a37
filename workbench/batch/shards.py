"""Shards on disk: written whole or not at all, each with the checksum of every file."""

import errno
import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import CorruptRun, StoreError
from workbench.runs.folder import flush
from workbench.runs.spec import file_hash

MANIFEST = "manifest.json"
DRAFT = ".draft-"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What one shard holds.

    `plan` and `model` say what it was computed from, `batch_tokens` with which budget (an
    out-of-memory lowers it), and `files` the sha256 of every other file of the shard.
    """

    plan: str
    model: str
    shard: int
    n_rows: int
    n_good: int
    n_bad: int
    n_cut: int
    n_tokens: int
    batch_tokens: int
    files: Mapping[str, str] = field(default_factory=dict)


def sealed(values: Mapping[str, Any]) -> bytes:
    """Return plain values as JSON that carries its own checksum."""
    body = json.dumps(values, sort_keys=True)
    seal = hashlib.sha256(body.encode()).hexdigest()
    return f'{{"sha256": "{seal}", "body": {body}}}\n'.encode()


def unsealed(data: bytes, name: str) -> dict[str, Any]:
    """Read what `sealed` wrote.

    Raises:
        CorruptRun: a byte was changed.
    """
    try:
        body: dict[str, Any] = json.loads(data)["body"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptRun(f"{name} cannot be read: {error}") from error
    if not isinstance(body, dict) or sealed(body) != data:
        raise CorruptRun(f"{name} was changed since it was written")
    return body


def shard_path(folder: Path, number: int) -> Path:
    """Return where a shard stands."""
    return folder / "shards" / f"{number:06d}"


def commit(folder: Path, number: int, write: Callable[[Path], Manifest]) -> Manifest:
    """Write a shard under another name, flush it and put it in its place at once.

    Raises:
        StoreError: the disk is full or not writable; nothing is left behind.
    """
    target = shard_path(folder, number)
    draft = target.with_name(f"{DRAFT}{number:06d}-{uuid.uuid4().hex[:8]}")
    try:
        draft.mkdir(parents=True)
        manifest = write(draft)
        files = {p.name: file_hash(p) for p in sorted(draft.iterdir())}
        manifest = Manifest(**{**asdict(manifest), "files": files})
        (draft / MANIFEST).write_bytes(sealed(asdict(manifest)))
        for path in draft.iterdir():
            flush(path)
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)
        flush(target.parent)
    except OSError as error:
        raise disk_error(folder, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


def read_manifest(folder: Path, number: int) -> Manifest | None:
    """Check a shard file by file and return its manifest; None if there is no such shard.

    Raises:
        CorruptRun: a file is missing or was changed; the message names it.
    """
    path = shard_path(folder, number)
    if not path.is_dir():
        return None
    name = f"shards/{path.name}"
    try:
        body = unsealed((path / MANIFEST).read_bytes(), f"{name}/{MANIFEST}")
        manifest = Manifest(**body)
    except (OSError, TypeError) as error:
        raise CorruptRun(f"{name}/{MANIFEST} cannot be read: {error}") from error
    broken = [
        f"{name}/{file}"
        for file, expected in manifest.files.items()
        if not (path / file).is_file() or file_hash(path / file) != expected
    ]
    if broken or manifest.shard != number:
        raise CorruptRun(f"{', '.join(broken) or name} missing or changed since written")
    return manifest


def clear_drafts(folder: Path) -> None:
    """Remove what a killed process left half-written."""
    for path in (folder / "shards").glob(f"{DRAFT}*"):
        shutil.rmtree(path, ignore_errors=True)


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        StoreError: the disk is full or not writable.
    """
    draft = path.with_name(f"{DRAFT}{path.name}")
    try:
        draft.write_bytes(data)
        flush(draft)
        draft.replace(path)
        flush(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise disk_error(path.parent, error) from error


def disk_error(folder: Path, error: OSError) -> StoreError:
    """Say what the disk refused, and how to go on."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return StoreError(
        f"cannot write to {folder}: {error.strerror or error}",
        hint="free some space and go on with --resume; every finished shard is kept"
        if full
        else "choose a folder you may write to",
    )
