"""Write the index of the plugins that ship: `python -m workbench.methods.write_index`."""

from importlib.metadata import distribution

from workbench.methods.plugin_index import write_shipped
from workbench.methods.plugin_places import GROUP
from workbench.methods.registry import declared


def shipped_packages() -> list[str]:
    """Return the packages of plugins that belong to the workbench."""
    ours = distribution("latent-workbench").entry_points
    return [entry.value for entry in ours.select(group=GROUP)]


if __name__ == "__main__":
    write_shipped(declared(shipped_packages()))
