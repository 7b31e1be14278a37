"""Makes sure that the five package names are ours, before anything of theirs is imported.

All five names exist as other distributions too. When one of those is installed beside ours, an
import can silently give the stranger; this module imports none of the five to find out.
"""

import importlib.util
import re
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

NAMES = ("workbench", "probes", "reasoning", "causal", "app")
OURS = "latent-workbench"

_FIX = (
    "try: a fresh environment for the workbench alone: "
    "python3 -m venv .venv && .venv/bin/pip install latent-workbench"
)


def check_names() -> None:
    """Stop the program if one of the five names is not ours.

    Raises:
        SystemExit: names both owners and the way out.
    """
    problems = name_problems()
    if problems:
        raise SystemExit("\n".join([*problems, f"  {_FIX}"]))


def name_problems() -> list[str]:
    """Say which of the five names are shared with, or taken over by, something else."""
    owners = owners_of(NAMES, distributions())
    problems = [
        f"the name {name!r} is claimed by {' and '.join(sorted(found))}; "
        f"it should belong to {OURS} alone"
        for name, found in owners.items()
        if found - {OURS}
    ]
    home = Path(__file__).resolve().parent.parent
    for name in NAMES:
        place = _place(name)
        if place != home:
            problems.append(
                f"importing {name!r} would give {place or 'nothing'}; "
                f"the workbench started from {home}"
            )
    return problems


def owners_of(names: Iterable[str], installed: Iterable[Distribution]) -> dict[str, set[str]]:
    """Return which distributions install each of the top-level names.

    Does what `importlib.metadata.packages_distributions` does for every name there is, twenty
    times faster because it looks for a few only.
    """
    owners: dict[str, set[str]] = {name: set() for name in names}
    for one in installed:
        declared = set((one.read_text("top_level.txt") or "").split())
        if not declared:
            # Searching for plain text is a tenth of the work of a pattern that begins at lines.
            record = "\n" + (one.read_text("RECORD") or "")
            declared = {n for n in owners if f"\n{n}/" in record or f"\n{n}.py," in record}
        for name in declared & set(owners):
            owners[name].add(_plain(one.metadata["Name"] or "an unnamed distribution"))
    return owners


def _place(name: str) -> Path | None:
    """Return the folder that an import of the name would come from."""
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if found is None or not found.origin:
        return None
    origin = Path(found.origin).resolve()
    return origin.parent.parent if origin.name == "__init__.py" else origin.parent


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
