"""Where a run finds the other runs it builds on."""

from workbench.methods.contracts import Context
from workbench.runs.store import Store


def store_of(context: Context) -> Store:
    """Return the store the run itself is kept in, or the one of the settings."""
    # Scratch and checkpoint folders lie two levels below their store.
    return Store(context.scratch.parent.parent if context.scratch is not None else None)
