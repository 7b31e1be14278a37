"""Write the page that says what each model type can do on each backend.

Run as `make zoo`: every model of the zoo is built from its configuration with random weights,
every capability is tried, as it is on a user's model when it is first asked for, and whatever is
offered is compared with plain transformers. A run that was interrupted goes on where it was.
"""

import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import transformers
from zoo_sites import comparison, kept, outcomes

from workbench.errors import WorkbenchError
from workbench.model.backends import BACKENDS
from workbench.model.capabilities import known_checks, verdict
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.wrap import wrap_model
from workbench.model.zoo import zoo_module, zoo_names

PAGE = Path(__file__).parent / "models.md"
INTRODUCTION = """# Model types

What a model can do is tried on a few tokens when it is first asked for; what fails is refused
with the reason. This page shows the outcome for {n} model types, each built from its
configuration with random weights (two to four layers, width 32, float32, eager attention,
transformers {version}). `workbench models show NAME --parity` tries your own model.

Written by `make zoo`, which compares everything that is offered with plain, uncached, unbatched
transformers, to 1e-4; the slow tests do the same.
"""


@dataclass
class Attempt:
    """What one model type can do on one backend, and why it cannot do the rest."""

    name: str
    backend: str
    works: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def loads(self) -> bool:
        """Whether the model can be used at all."""
        return "loads" not in self.refused


def main(page: Path) -> None:
    """Try every model of the zoo on every backend and write the page."""
    warnings.simplefilter("ignore")
    tried = {(n, b): tried_before(n, b) for n in zoo_names() for b in BACKENDS}
    compared = {b: [outcomes(n, b) for n in zoo_names()] for b in BACKENDS}
    head = INTRODUCTION.format(n=len(zoo_names()), version=transformers.__version__)
    lines = [head, *overview(tried), *comparison(compared), *reasons(tried)]
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


def tried_before(name: str, backend: str) -> Attempt:
    """Return what one model type can do on one backend, tried once for the same code."""
    return Attempt(**kept(f"{name}@{backend} tried", lambda: asdict(attempt(name, backend))))


def attempt(name: str, backend: str) -> Attempt:
    """Try one model type on one backend."""
    found = Attempt(name, backend)
    try:
        model = wrap_model(zoo_module(name), tiny_tokenizer(), name=name, backend=backend)
    except WorkbenchError as error:
        found.refused["loads"] = error.message
        return found
    for capability in known_checks():
        judged = verdict(model, capability)
        if judged.works:
            found.works.append(capability)
        else:
            found.refused[capability] = judged.reason
    return found


def overview(tried: dict[tuple[str, str], Attempt]) -> Iterator[str]:
    """Yield one table: model type by backend, with what is refused there."""
    for backend in BACKENDS:
        loaded = [t for t in tried.values() if t.backend == backend and t.loads]
        whole = [t for t in loaded if not t.refused]
        yield (
            f"- `{backend}`: {len(loaded)} of {len(zoo_names())} load, {len(whole)} of them can do "
            "everything."
        )
    yield "\n| model type | " + " | ".join(f"`{b}`" for b in BACKENDS) + " |"
    yield "| --- " * (1 + len(BACKENDS)) + "|"
    for name in zoo_names():
        yield f"| {name} | " + " | ".join(cell(tried[name, b]) for b in BACKENDS) + " |"


def cell(found: Attempt) -> str:
    """Return what stands in one place of the table."""
    if not found.loads:
        return "does not load"
    if not found.refused:
        return "everything"
    return "all but " + ", ".join(shortened(list(found.refused)))


def shortened(capabilities: list[str]) -> Iterator[str]:
    """Join the reading and the editing of one site."""
    for capability in capabilities:
        verb, _, kind = capability.partition(" ")
        other = {"read": "edit", "edit": "read"}.get(verb)
        if other is None or f"{other} {kind}" not in capabilities:
            yield capability
        elif verb == "read":
            yield kind


def reasons(tried: dict[tuple[str, str], Attempt]) -> Iterator[str]:
    """Yield why something is refused, model type by model type."""
    yield "\n## Why\n"
    for (name, backend), found in tried.items():
        by_reason: dict[str, list[str]] = {}
        for capability, reason in found.refused.items():
            by_reason.setdefault(reason, []).append(capability)
        for reason, refused in by_reason.items():
            yield f"- **{name}** on `{backend}`, {', '.join(shortened(refused))}: {plain(reason)}"


def plain(reason: str) -> str:
    """Return a reason that Markdown shows as it is written."""
    for mark in "\\`*_<>[]|#":
        reason = reason.replace(mark, f"\\{mark}")
    return " ".join(reason.split())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE)
