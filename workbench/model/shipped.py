"""Small models that ship with the package, loaded by the name of their folder."""

from importlib.resources import files
from pathlib import Path


def shipped_models() -> tuple[Path, ...]:
    """Return the folders of the models that ship; adapters without a model of their own do not."""
    return tuple(sorted(path.parent for path in _root().glob("*/config.json")))


def shipped_folder(name: str) -> Path | None:
    """Return the folder of a shipped model, None when no model of that name ships."""
    return next((folder for folder in shipped_models() if folder.name == name), None)


def shipped_part(name: str, part: str) -> Path | None:
    """Return the folder of a network inside a shipped folder, None when there is none."""
    folder = _root() / name / part
    return folder if (folder / "config.json").is_file() else None


def _root() -> Path:
    return Path(str(files("workbench"))) / "data" / "models"
