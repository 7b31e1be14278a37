"""From a name to a folder of weights: embedded, shipped, local, GGUF, cached or on the hub."""

import difflib
import logging
import os
from dataclasses import replace
from pathlib import Path

from workbench.errors import ModelError, ModelNotFound, Unsupported
from workbench.model.adapter_files import AdapterFiles, find_adapter
from workbench.model.checkpoint_files import CheckpointFiles, check_folder, is_only_adapter
from workbench.model.default_model import (
    ALIASES,
    FILE_HASH,
    FILE_NAME,
    HUB_NAME,
    INSTALL,
    checked_embedded_file,
    embedded_file,
    is_default,
)
from workbench.model.gguf_cache import convert, kept_conversion
from workbench.model.hashing import file_hash
from workbench.model.hub import cached_names, cached_snapshot, fetch_snapshot, is_hub_id
from workbench.model.shipped import shipped_folder, shipped_models
from workbench.model.tiny import FAMILIES, TINY_PREFIX
from workbench.progress import Progress, silent

_log = logging.getLogger(__name__)


def locate(
    name: str,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    progress: Progress = silent,
) -> CheckpointFiles:
    """Find the weights of a name, fetching or converting them if need be.

    The order: the embedded model, a local path, a model that ships, the hub's local cache, the hub.

    Raises:
        ModelNotFound: nothing of that name exists or can be reached.
        ModelError: what was found is damaged.
        Unsupported: what was found is not a causal language model in safetensors.
    """
    if is_default(name) and revision is None:
        return check_folder(_default_folder(progress))
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - takes an unknown user as it is
    ships = shipped_folder(name)
    if ships is not None and not path.exists():
        return check_folder(ships)
    if path.exists() or _is_path(name):
        folder = _local_folder(path, progress)
        if not is_only_adapter(folder):
            return check_folder(folder, trust_remote_code=trust_remote_code)
        return _under_adapter(folder, trust_remote_code=trust_remote_code, progress=progress)
    return _from_hub(name, revision, trust_remote_code=trust_remote_code, progress=progress)


def _under_adapter(folder: Path, *, trust_remote_code: bool, progress: Progress) -> CheckpointFiles:
    """Find the base model that the adapter in a folder names, and put the adapter beside it."""
    adapter = find_adapter(folder)
    if adapter is None or not adapter.base:
        raise Unsupported(
            f"{folder} holds an adapter and does not name its base model",
            hint="load the base model, or merge the adapter into it and save the result",
        )
    local = Path(os.path.expanduser(adapter.base))  # noqa: PTH111 - as above
    if local.is_dir() and is_only_adapter(local):
        raise _stacked(folder, adapter)
    base = locate(
        adapter.base,
        revision=adapter.config.get("revision"),
        trust_remote_code=trust_remote_code,
        progress=progress,
    )
    if base.adapter is not None:
        raise _stacked(folder, adapter)
    return replace(base, adapter=adapter)


def _stacked(folder: Path, adapter: AdapterFiles) -> Unsupported:
    return Unsupported(
        f"the adapter in {folder} stands on {adapter.base}, which holds another adapter",
        hint="merge the one into the model and save the result",
    )


def _is_path(name: str) -> bool:
    return name.startswith((".", "~", os.sep)) or not is_hub_id(name)


def _default_folder(progress: Progress) -> Path:
    kept = kept_conversion(FILE_HASH, Path(FILE_NAME).stem)
    if kept is not None:
        return kept
    if embedded_file() is not None:
        return convert(checked_embedded_file(), file_hash=FILE_HASH, progress=progress)
    cached = cached_snapshot(HUB_NAME)
    try:
        return cached or fetch_snapshot(HUB_NAME, progress=progress)
    except ModelError as error:
        raise ModelNotFound(
            f"the embedded model is not installed, and {error.message}", hint=INSTALL
        ) from error


def _local_folder(path: Path, progress: Progress) -> Path:
    if path.is_dir():
        return path
    if not path.exists():
        raise ModelNotFound(
            f"there is no file or folder {path}",
            hint=_nearby(path) or "give a folder, a .gguf file or the name of a model",
        )
    if path.suffix.lower() != ".gguf":
        raise ModelNotFound(
            f"{path} is neither a folder nor a .gguf file",
            hint=f"give its folder: {path.parent}"
            if path.suffix == ".safetensors"
            else "give a folder, a .gguf file or the name of a model",
        )
    return convert(path, file_hash=file_hash(path), progress=progress)


def _nearby(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    close = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()], n=1)
    return str(path.parent / close[0]) if close else ""


def _from_hub(
    name: str, revision: str | None, *, trust_remote_code: bool, progress: Progress
) -> CheckpointFiles:
    cached = cached_snapshot(name, revision)
    if cached is not None:
        try:
            return check_folder(cached, trust_remote_code=trust_remote_code)
        except (ModelNotFound, ModelError) as error:
            if type(error) not in (ModelNotFound, ModelError):
                raise
            _log.warning("the kept copy of %s is incomplete, fetching again: %s", name, error)
    try:
        fetched = fetch_snapshot(name, revision, progress)
    except ModelNotFound as error:
        close = _close_names(name)
        if close:
            raise ModelNotFound(
                error.message, hint=f"did you mean {' or '.join(close)}?"
            ) from error
        raise
    return check_folder(fetched, trust_remote_code=trust_remote_code)


def _close_names(name: str) -> list[str]:
    shipped = (folder.name for folder in shipped_models())
    known = [*ALIASES, *shipped, *(TINY_PREFIX + family for family in FAMILIES), *cached_names()]
    lowered = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), lowered, n=2, cutoff=0.7)
    return [lowered[one] for one in found]
