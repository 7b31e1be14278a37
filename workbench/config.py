"""Settings from the environment, read once when asked for."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where runs and caches live, and which device is preferred."""

    store: Path
    cache: Path
    device: str


@cache
def settings() -> Settings:
    """Read `WORKBENCH_STORE`, `WORKBENCH_CACHE` and `WORKBENCH_DEVICE`."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Settings(
        store=Path(os.environ.get("WORKBENCH_STORE") or "runs-store"),
        cache=Path(os.environ.get("WORKBENCH_CACHE") or home / "latent-workbench"),
        device=os.environ.get("WORKBENCH_DEVICE", "auto"),
    )
