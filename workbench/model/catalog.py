"""Which models can be loaded here, and how to make one ready before it is needed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.errors import BadOption
from workbench.model.default_model import (
    DEFAULT_NAME,
    FILE_HASH,
    FILE_NAME,
    INSTALL,
    embedded_file,
    is_default,
)
from workbench.model.gguf_cache import cache_folder, conversions
from workbench.model.hub import cached_names, cached_snapshot
from workbench.model.locate import locate
from workbench.model.shipped import shipped_folder, shipped_models
from workbench.model.tiny import FAMILIES, TINY_PREFIX
from workbench.progress import Progress, silent

Origin = Literal["embedded", "folder", "gguf", "hub", "shipped", "tiny"]


@dataclass(frozen=True, kw_only=True)
class AvailableModel:
    """A name that `load_model` understands on this machine; `n_bytes` is what it takes on disk."""

    name: str
    origin: Origin
    ready: bool
    n_bytes: int = 0
    note: str = ""


def available_models() -> tuple[AvailableModel, ...]:
    """List the embedded model, shipped and converted ones, those from the hub, the tiny ones."""
    hub = tuple(_hub_model(name) for name in cached_names())
    tiny = tuple(
        AvailableModel(name=TINY_PREFIX + family, origin="tiny", ready=True, note="random weights")
        for family in FAMILIES
    )
    shipped = tuple(_shipped(folder) for folder in shipped_models())
    return (_embedded(), *shipped, *_converted(), *hub, *tiny)


def fetch_model(
    name: str, progress: Progress = silent, *, revision: str | None = None
) -> AvailableModel:
    """Convert or download a model now, so that loading it later takes seconds.

    Raises:
        BadOption: the name means a tiny model, which is built on the spot.
        ModelNotFound: nothing of that name exists or can be reached.
        ModelError: what was found is damaged.
    """
    if name.startswith(TINY_PREFIX):
        raise BadOption(f"{name} is built on the spot; there is nothing to fetch")
    files = locate(name, revision=revision, progress=progress)
    return AvailableModel(
        name=DEFAULT_NAME if is_default(name) else name,
        origin=_origin(name),
        ready=True,
        n_bytes=sum(path.stat().st_size for path in files.weights),
        note=str(files.folder),
    )


def _origin(name: str) -> Origin:
    if is_default(name):
        return "embedded"
    if name.lower().endswith(".gguf"):
        return "gguf"
    if Path(name).expanduser().is_dir():
        return "folder"
    return "shipped" if shipped_folder(name) else "hub"


def _shipped(folder: Path) -> AvailableModel:
    return AvailableModel(
        name=folder.name,
        origin="shipped",
        ready=True,
        n_bytes=sum(path.stat().st_size for path in folder.glob("*.safetensors")),
        note="a small network trained from nothing on one task",
    )


def _embedded() -> AvailableModel:
    folder = cache_folder(FILE_HASH, FILE_NAME.removesuffix(".gguf"))
    weights = folder / "model.safetensors"
    if weights.exists():
        return AvailableModel(
            name=DEFAULT_NAME,
            origin="embedded",
            ready=True,
            n_bytes=weights.stat().st_size,
            note="also `default`",
        )
    note = "converted at first use" if embedded_file() else f"not installed: {INSTALL}"
    return AvailableModel(name=DEFAULT_NAME, origin="embedded", ready=False, note=note)


def _converted() -> tuple[AvailableModel, ...]:
    return tuple(
        AvailableModel(
            name=kept.source,
            origin="gguf",
            ready=True,
            n_bytes=kept.n_bytes,
            note=str(kept.folder),
        )
        for kept in conversions()
        if kept.file_hash != FILE_HASH
    )


def _hub_model(name: str) -> AvailableModel:
    folder = cached_snapshot(name)
    weights = sorted(folder.glob("*.safetensors")) if folder else []
    return AvailableModel(
        name=name,
        origin="hub",
        ready=bool(weights),
        n_bytes=sum(path.stat().st_size for path in weights),
        note="" if weights else "no safetensors weights kept here",
    )
