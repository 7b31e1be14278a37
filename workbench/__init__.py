"""A workbench that runs a language model, records what happens inside and keeps the answers.

Every public name is loaded when it is first used, so `import workbench` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.errors import WorkbenchError
    from workbench.figures.draw import draw
    from workbench.methods.registry import discovery, plugins, probe, recipe, refuter
    from workbench.model.activations import Activations
    from workbench.model.catalog import available_models, fetch_model
    from workbench.model.edits import Edit, Op
    from workbench.model.generation import GenerationOptions
    from workbench.model.loading import load_model
    from workbench.model.model import Model
    from workbench.model.policy import GREEDY, Sampling
    from workbench.model.sites import Kind, Site
    from workbench.model.spec import ModelSpec
    from workbench.model.tiny import tiny_model
    from workbench.model.tokens import Tokens
    from workbench.model.trace import Trace
    from workbench.model.wrap import wrap_model
    from workbench.options import option
    from workbench.result.estimate import Estimate
    from workbench.result.graph import CapabilityGraph
    from workbench.result.result import Result
    from workbench.result.tables import Table
    from workbench.runs.execute import execute
    from workbench.runs.run import Run
    from workbench.runs.spec import DataRef, ModelRef, RunSpec
    from workbench.runs.store import Store
    from workbench.runs.text_grid import TextGrid, grid
    from workbench.training.checkpoint import Checkpoint

_HOMES = {
    "workbench.errors": ("WorkbenchError",),
    "workbench.figures.draw": ("draw",),
    "workbench.methods.registry": ("discovery", "plugins", "probe", "recipe", "refuter"),
    "workbench.model.activations": ("Activations",),
    "workbench.model.catalog": ("available_models", "fetch_model"),
    "workbench.model.edits": ("Edit", "Op"),
    "workbench.model.generation": ("GenerationOptions",),
    "workbench.model.loading": ("load_model",),
    "workbench.model.model": ("Model",),
    "workbench.model.policy": ("GREEDY", "Sampling"),
    "workbench.model.sites": ("Kind", "Site"),
    "workbench.model.spec": ("ModelSpec",),
    "workbench.model.tiny": ("tiny_model",),
    "workbench.model.tokens": ("Tokens",),
    "workbench.model.trace": ("Trace",),
    "workbench.model.wrap": ("wrap_model",),
    "workbench.options": ("option",),
    "workbench.result.estimate": ("Estimate",),
    "workbench.result.graph": ("CapabilityGraph",),
    "workbench.result.result": ("Result",),
    "workbench.result.tables": ("Table",),
    "workbench.runs.execute": ("execute",),
    "workbench.runs.run": ("Run",),
    "workbench.runs.spec": ("DataRef", "ModelRef", "RunSpec"),
    "workbench.runs.store": ("Store",),
    "workbench.runs.text_grid": ("TextGrid", "grid"),
    "workbench.training.checkpoint": ("Checkpoint",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "GREEDY",
    "Activations",
    "CapabilityGraph",
    "Checkpoint",
    "DataRef",
    "Edit",
    "Estimate",
    "GenerationOptions",
    "Kind",
    "Model",
    "ModelRef",
    "ModelSpec",
    "Op",
    "Result",
    "Run",
    "RunSpec",
    "Sampling",
    "Site",
    "Store",
    "Table",
    "TextGrid",
    "Tokens",
    "Trace",
    "WorkbenchError",
    "available_models",
    "discovery",
    "draw",
    "execute",
    "fetch_model",
    "grid",
    "load_model",
    "option",
    "plugins",
    "probe",
    "recipe",
    "refuter",
    "tiny_model",
    "wrap_model",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its home the first time it is asked for."""
    if name == "__version__":
        from importlib.metadata import version

        return version("latent-workbench")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names before they are loaded."""
    return sorted({*globals(), *__all__})
