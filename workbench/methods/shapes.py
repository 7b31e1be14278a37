"""What a plugin is given, told from the protocol its class follows."""

from workbench.methods.contracts import (
    Discovery,
    Measure,
    OnLabels,
    OnTask,
    Question,
    ReadoutProbe,
    Reasoner,
    Recipe,
    Refuter,
    Study,
)
from workbench.methods.per_unit import PerUnit

TEXTS = "texts"
LABELLED_TEXTS = "labelled texts"
TASK = "task"
TABLE = "table"
GRAPH = "graph"
NOTHING = "nothing"

# The first protocol that a class follows decides.
_TAKES: tuple[tuple[type, str], ...] = (
    (OnTask, TASK),
    (Reasoner, TASK),
    (Discovery, TABLE),
    (Question, GRAPH),
    (Refuter, GRAPH),
    (OnLabels, LABELLED_TEXTS),
    (ReadoutProbe, LABELLED_TEXTS),
    (PerUnit, TEXTS),
    (Measure, TEXTS),
    (Study, TEXTS),
    (Recipe, TEXTS),
)


def takes(recipe: object) -> str:
    """Return what a recipe, or its class, is given; a task is given nothing."""
    return next((given for shape, given in _TAKES if follows(recipe, shape)), NOTHING)


def follows(recipe: object, shape: type) -> bool:
    """Whether a recipe, or its class, follows a protocol or inherits from a base."""
    # A class has the methods of a protocol as its instances do; a base it only inherits from.
    return isinstance(recipe, shape) or (isinstance(recipe, type) and shape in recipe.__mro__)
