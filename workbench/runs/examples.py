"""Runs that ship with the package, so that no page is empty before the first run of one's own.

`python -m workbench.runs.examples` makes them again.
"""

import shutil
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from workbench.errors import UnknownName
from workbench.runs.execute import execute
from workbench.runs.folder import read_run
from workbench.runs.spec import SHIPPED, DataRef, ModelRef, RunSpec
from workbench.runs.store import Store

_SUMS = ModelRef(name="hybrid-sums")
EXAMPLES = {
    "graph": (RunSpec(kind="discovery", name="hierarchical", model=None),),
    "chain": (RunSpec(name="hybrid-trace", model=_SUMS, data=DataRef(texts=("25+5+18=",))),),
    "questions": (
        RunSpec(
            name="choices",
            options={"variants": False},
            model=ModelRef(name="corr2cause-three"),
            data=DataRef(task="corr2cause?nodes=3", limit=12),
        ),
    ),
    "concepts": (
        RunSpec(
            name="concept-effect",
            options={
                "concept": "food",
                "controls": ["service"],
                "layers": "2::3",
                "fit": 40,
                "pairs": 16,
            },
            model=ModelRef(name="default"),
            data=DataRef(path=f"{SHIPPED}concept_sentences.jsonl", group="group"),
        ),
    ),
    "problems": tuple(
        RunSpec(
            kind="reasoner",
            name=name,
            model=_SUMS,
            data=DataRef(task="sums?largest=30", limit=24),
        )
        for name in ("no-cot", "cot", "hrpo")
    ),
}


def keep_example(name: str, store: Store) -> tuple[str, ...]:
    """Return the ids of an example's runs, put into the store where it lacks them.

    Raises:
        UnknownName: no example is called that.
        CorruptRun: a file of the package was changed.
        StoreError: the store cannot be written.
    """
    if name not in EXAMPLES:
        raise UnknownName(f"no example is called {name!r}; known: {', '.join(EXAMPLES)}")
    folders = _folders(name)
    for folder in folders:
        if _run_id(folder) not in store:
            store.put(read_run(folder))
    return tuple(map(_run_id, folders))


@cache
def example_ids() -> frozenset[str]:
    """Return the ids of all runs that ship."""
    return frozenset(_run_id(folder) for name in EXAMPLES for folder in _folders(name))


def write_examples(target: Path) -> None:
    """Run every example and write its folder, numbered in the order in which it is shown."""
    for name, specs in EXAMPLES.items():
        shutil.rmtree(target / name, ignore_errors=True)
        for i, spec in enumerate(specs):
            with TemporaryDirectory() as scratch:
                store = Store(scratch)
                run = execute(spec, store=store)
                shutil.copytree(store.path(run.run_id), target / name / f"{i}_{run.run_id}")


def _folders(name: str) -> list[Path]:
    return sorted(p for p in (_shipped() / name).iterdir() if p.is_dir())


def _run_id(folder: Path) -> str:
    return folder.name.split("_", 1)[1]


def _shipped() -> Path:
    return Path(str(files("workbench") / "data" / "examples"))


if __name__ == "__main__":
    write_examples(_shipped())
