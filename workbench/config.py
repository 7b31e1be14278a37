"""Settings from the environment, read once when asked for."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where runs, caches and files of plugins live, and which device is preferred."""

    store: Path
    cache: Path
    plugins: tuple[Path, ...]
    device: str


@cache
def settings() -> Settings:
    """Read `WORKBENCH_STORE`, `_CACHE`, `_PLUGINS` (one folder or several) and `_DEVICE`."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    folders = os.environ.get("WORKBENCH_PLUGINS") or str(own / "latent-workbench" / "plugins")
    return Settings(
        store=Path(os.environ.get("WORKBENCH_STORE") or "runs-store"),
        cache=Path(os.environ.get("WORKBENCH_CACHE") or home / "latent-workbench"),
        plugins=tuple(Path(f).expanduser() for f in folders.split(os.pathsep) if f),
        device=os.environ.get("WORKBENCH_DEVICE", "auto"),
    )
