"""`workbench bench`: what things cost, as ratios measured in one run."""

import click


@click.group(epilog="\b\nExample:\n  workbench bench hooks --json")
def command() -> None:
    """Measure what things cost, side by side in one run."""
