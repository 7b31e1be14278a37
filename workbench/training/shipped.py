"""Checkpoints that ship with the package, found by recipe and by the model they belong to."""

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from workbench.errors import ModelNotFound
from workbench.model.spec import ModelSpec
from workbench.training.checkpoint import MANIFEST, read_manifest


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
    known = sorted({manifest.base_model for manifest in manifests.values()})
    raise ModelNotFound(
        f"no {what} is known for {spec.name}; there is one for {', '.join(known) or 'no model'}",
        hint=hint,
    )


def _of_recipe(recipe: str, places: Iterable[Path]) -> list[Path]:
    found = (place for place in places if (place / MANIFEST).is_file())
    return [place for place in found if read_manifest(place).recipe == recipe]
