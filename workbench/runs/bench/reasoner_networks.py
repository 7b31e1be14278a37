"""The networks of one seed of a benchmark of reasoners as folders that ship.

Run as `python -m workbench.runs.bench.reasoner_networks FOLDER [TARGET]`.
"""

import json
import shutil
import sys
from importlib.resources import files
from pathlib import Path

from workbench.runs.bench.reasoner_plan import ANSWER_ONLY, CHAIN, CONTROL_TASK, WRITER
from workbench.runs.bench.reasoners import Cell, ReasonerBench
from workbench.training.checkpoint import MANIFEST, WEIGHTS

# By the end of its name: the training, the folder in it, and whether it is a model of its own.
_NETWORKS = {
    "": (WRITER, "", True),
    "-chains": (CHAIN, "", True),
    "-answers": (ANSWER_ONLY, "", True),
    "-sentences": ("sentences", "", False),
    "-coconut": ("coconut", "coconut", False),
    "-pause": ("pause", "pause", False),
    "-hybrid": ("hrpo", "hrpo-0", False),
}
_LEFT_OUT = {"training-state.safetensors", "trained.json"}


def copy_networks(bench: ReasonerBench, target: Path, task: str = CONTROL_TASK) -> list[Path]:
    """Copy the networks of seed 0 on a task, and return their folders.

    The first is the writer, which all the others belong to. What is not trained is left out.
    """
    work, found = bench.at(Cell(0, ANSWER_ONLY, task)), []
    for end, (training, inside, is_model) in _NETWORKS.items():
        source, place = work.place_of(training) / inside, target / f"{task}{end}"
        if (source / MANIFEST).is_file():
            place.mkdir(parents=True, exist_ok=True)
            kept = {MANIFEST, WEIGHTS} | ({p.name for p in source.iterdir()} if is_model else set())
            for name in sorted(kept - _LEFT_OUT):
                if (source / name).is_file():
                    shutil.copyfile(source / name, place / name)
            _rename_base(place / MANIFEST, task if training != WRITER else f"words of {task}")
            found.append(place)
    return found


def _rename_base(manifest: Path, name: str) -> None:
    """Name the model by what it ships as, not by the folder it was trained in."""
    told = json.loads(manifest.read_text()) | {"base_model": name}
    manifest.write_text(f"{json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False)}\n")


def main(folder: str, target: str = "") -> None:
    """Copy the networks of a folder of the benchmark into the package, or elsewhere."""
    ships = Path(str(files("workbench"))) / "data" / "models"
    copy_networks(ReasonerBench(folder=Path(folder)), Path(target) if target else ships)


if __name__ == "__main__":
    main(*sys.argv[1:])
