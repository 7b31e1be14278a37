"""Which content a model's name stands for, so that changed files are another model."""

import hashlib
import json
import os
from functools import cache
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.model.adapter_files import find_adapter
from workbench.model.default_model import (
    FILE_HASH,
    FILE_NAME,
    HUB_NAME,
    embedded_file,
    is_default,
)
from workbench.model.gguf_cache import cache_folder
from workbench.model.hashing import file_hash
from workbench.model.hub import cached_snapshot, is_hub_id
from workbench.model.model import Model
from workbench.model.shipped import shipped_folder
from workbench.model.tiny import TINY_PREFIX, parse_tiny, tiny_model

# All that transformers may read beside the weights: configurations, tokenizers, templates, code.
_READ = (".safetensors", ".json", ".txt", ".model", ".jinja", ".py", ".tiktoken")


def content_hash(name: str, revision: str | None = None) -> str:
    """Return the sha256 of every file that loading a name reads: weights, tokenizer, adapters.

    Empty where the name alone decides (the embedded model, tiny models), where nothing of that
    name is on this machine yet, and where its files cannot be read: loading it says why.
    """
    if name.startswith(TINY_PREFIX):
        return ""
    try:
        place = _place(name, revision)
        if place is None:
            return ""
        return folder_hash(place) if place.is_dir() else file_hash(place)
    except (OSError, ValueError, WorkbenchError):
        return ""


def folder_hash(folder: Path) -> str:
    """Return the sha256 over the names and contents of the files that loading a folder reads.

    An adapter that names its base model is counted together with that model.

    Raises:
        OSError: a file cannot be read.
        WorkbenchError: an adapter is not whole.
    """
    read = (p for p in sorted(folder.iterdir()) if p.suffix in _READ and p.is_file())
    parts = {p.name: file_hash(p) for p in read}
    adapter = find_adapter(folder)
    if adapter is not None and not (folder / "config.json").exists():
        parts["base model"] = content_hash(adapter.base, adapter.config.get("revision"))
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def is_fixed(name: str, content: str) -> bool:
    """Whether a name with that content can never stand for other numbers."""
    return bool(content) or name.startswith(TINY_PREFIX) or is_default(name)


def loaded_content(model: Model, name: str, content: str) -> str:
    """Return the content of a model in memory: that of the name it was loaded by, or its own.

    `content` is that of the name. Weights changed in place after loading are not noticed.
    """
    spec = model.spec
    own = hashlib.sha256(f"{spec.weights_hash} {spec.files_hash}".encode()).hexdigest()
    if name.startswith(TINY_PREFIX):
        return content if spec.weights_hash == _tiny_hash(name) else own
    if is_default(name) and not content:
        return content if is_default(spec.name) and not spec.adapter else own
    return content if spec.name == name and spec.files_hash == content else own


@cache
def _tiny_hash(name: str) -> str:
    family, seed = parse_tiny(name)
    return tiny_model(family, seed=seed).spec.weights_hash


def _place(name: str, revision: str | None) -> Path | None:
    """Find what a name stands for in the order of `locate`, without fetching anything."""
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - takes an unknown user as it is
    if is_default(name) and revision is None:
        kept = cache_folder(FILE_HASH, Path(FILE_NAME).stem)
        is_embedded = kept.is_dir() or embedded_file() is not None
        return None if is_embedded else cached_snapshot(HUB_NAME)
    if path.exists():
        return path
    ships = shipped_folder(name)
    if ships is not None:
        return ships
    return cached_snapshot(name, revision) if is_hub_id(name) else None
