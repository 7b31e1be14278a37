"""Small models that ship with the package, loaded by the name of their folder."""

from importlib.resources import files
from pathlib import Path


def shipped_models() -> tuple[Path, ...]:
    """Return the folders of the models that ship; adapters without a model of their own do not."""
    root = Path(str(files("workbench"))) / "data" / "models"
    return tuple(sorted(path.parent for path in root.glob("*/config.json")))


def shipped_folder(name: str) -> Path | None:
    """Return the folder of a shipped model, None when no model of that name ships."""
    return next((folder for folder in shipped_models() if folder.name == name), None)
