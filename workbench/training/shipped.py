"""Checkpoints that ship with the package, found by recipe and by the model they belong to."""

from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path

from workbench.errors import ModelNotFound
from workbench.model.model import Model
from workbench.model.shipped import shipped_folder
from workbench.model.spec import ModelSpec
from workbench.training.checkpoint import MANIFEST, Checkpoint, read_manifest


def shipped_checkpoints(recipe: str) -> tuple[Path, ...]:
    """Return the folders of the checkpoints of a recipe that ship."""
    root = Path(str(files("workbench"))) / "data" / "models"
    return tuple(sorted(_of_recipe(recipe, (path.parent for path in root.glob(f"*/{MANIFEST}")))))


def find_checkpoint(
    spec: ModelSpec, recipe: str, *, what: str, hint: str, beside: Iterable[Path] = ()
) -> Path:
    """Return the folder that belongs to a model: one of `beside`, else one that ships.

    Raises:
        ModelNotFound: none of them belongs to this model; the message names what there is.
    """
    places = (*_of_recipe(recipe, beside), *shipped_checkpoints(recipe))
    manifests = {place: read_manifest(place) for place in places}
    for place, manifest in manifests.items():
        if manifest.base_hash == spec.weights_hash:
            return place
    known = ", ".join(sorted({manifest.base_model for manifest in manifests.values()}))
    there = f"there is one for {known}" if known else "none ships"
    raise ModelNotFound(
        f"no {what} is known for {spec.name}; {there}",
        hint=hint,
    )


def open_checkpoint(model: Model, folder: Path, recipe: str) -> Checkpoint:
    """Load the checkpoint of a recipe that belongs to a model.

    Raises:
        ModelNotFound: there is none.
        ModelError: it belongs to another recipe or model, or is damaged.
    """
    found = Checkpoint.load(folder)
    found.check(model.spec, recipe=recipe)
    return found


def _itself(weights: Path) -> tuple[Path, ...]:
    return (weights,)


def place_of(
    model: Model,
    folder: str,
    recipe: str,
    *,
    what: str,
    hint: str,
    beside: Callable[[Path], Iterable[Path]] = _itself,
) -> Path:
    """Return a folder that was named; else one beside the model's weights, or one that ships.

    `beside` gives the folders to look into from that of the weights.

    Raises:
        ModelNotFound: there is none for this model.
    """
    if folder:
        return Path(folder).expanduser()
    weights = Path(model.spec.name).expanduser()
    return find_checkpoint(model.spec, recipe, what=what, hint=hint, beside=beside(weights))


def ready_model(recipe: str) -> str:
    """Return the words that name a shipped model which a checkpoint of the recipe belongs to."""
    places = shipped_checkpoints(recipe)
    names = (name for place in places for name in (place.name, read_manifest(place).base_model))
    return next((f"--model {name}, or " for name in names if shipped_folder(name)), "")


def _of_recipe(recipe: str, places: Iterable[Path]) -> list[Path]:
    found = (place for place in places if (place / MANIFEST).is_file())
    return [place for place in found if read_manifest(place).recipe == recipe]
