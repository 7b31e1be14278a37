"""Which plugins need weights that are not there for a model, and why."""

from collections.abc import Sequence

from workbench.errors import WorkbenchError
from workbench.methods.contracts import NeedsWeights
from workbench.methods.registry import Plugin
from workbench.model.model import Model
from workbench.options import build


def missing_weights(found: Sequence[Plugin], model: Model) -> dict[str, str]:
    """Return the plugins that cannot run on a model with their default options, each with why."""
    missing: dict[str, str] = {}
    for plugin in found:
        made: object = build(plugin.recipe, {})
        if not isinstance(made, NeedsWeights):
            continue
        try:
            made.weights(model)
        except WorkbenchError as error:
            missing[plugin.name] = error.message
    return missing
