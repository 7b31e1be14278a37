"""Where a run finds the other runs it builds on."""

from workbench.methods.contracts import Context
from workbench.runs.store import Store


def store_of(context: Context) -> Store:
    """Return the store the run itself is kept in, or the one of the settings."""
    return Store(context.store)
