"""Reasoners side by side: trained with one budget, asked the same problems, arm by arm."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench.errors import BadOption
from workbench.methods.contracts import Context
from workbench.methods.registry import find
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.options import build
from workbench.progress import Progress, silent
from workbench.result.result import Result
from workbench.runs.bench.reasoner_answers import answers, changed, judged_rows
from workbench.runs.bench.reasoner_plan import (
    ARMS,
    CONTROL_TASK,
    PRESETS,
    TASKS,
    TRAININGS,
    Arm,
    ReasonerPreset,
    chosen,
    training_options,
)
from workbench.sampling.task import open_task
from workbench.training.checkpoint import write_whole
from workbench.training.splits import part_address

TRAINED, CELLS = "trained.json", "cells"


@dataclass(frozen=True, order=True)
class Cell:
    """One arm on one task with one seed."""

    seed: int
    arm: str
    task: str

    @property
    def name(self) -> str:
        """What its record is called."""
        return f"{self.task}-{self.arm}-{self.seed}"


@dataclass(frozen=True, kw_only=True)
class ReasonerBench:
    """What is trained and asked; `folder` keeps every record, so that a stopped run goes on."""

    folder: Path | None = None
    preset: str = "cpu"
    arms: str = ""
    tasks: str = ""
    seeds: int = 3

    def __post_init__(self) -> None:
        """Refuse presets, arms and tasks that there are not."""
        if self.preset not in PRESETS or self.seeds < 1:
            raise BadOption(
                f"preset {self.preset!r}, seeds {self.seeds}; expected one of "
                f"{', '.join(PRESETS)} and at least one seed"
            )
        chosen(self.arms, ARMS, "arms")
        chosen(self.tasks, TASKS, "tasks")

    def cells(self) -> Iterator[Cell]:
        """Return the cells in the order of running: one task with all seeds, controls last."""
        arms, tasks = chosen(self.arms, ARMS, "arms"), chosen(self.tasks, TASKS, "tasks")
        main = [arm for arm in arms if not ARMS[arm].is_control]
        controls = [arm for arm in arms if ARMS[arm].is_control]
        for some, where in ((main, tasks), (controls, [t for t in tasks if t == CONTROL_TASK])):
            for task in where:
                for seed in range(self.seeds):
                    yield from (Cell(seed, arm, task) for arm in some)

    @property
    def plan_hash(self) -> str:
        """The sha256 of all that decides the numbers of all cells of the preset."""
        whole = replace(self, arms="", tasks="")
        return _sha256([whole.at(cell).identity for cell in whole.cells()])

    def record(self, cell: Cell) -> dict[str, Any] | None:
        """Return what is known of a cell, None where it is still to be run as asked here."""
        found = read_record(self.place / CELLS / f"{cell.name}.json")
        return found if found and found["identity"] == self.at(cell).identity else None

    @property
    def place(self) -> Path:
        """The folder.

        Raises:
            BadOption: none was named.
        """
        if self.folder is None:
            raise BadOption("no folder was named for networks and records", hint="--folder FOLDER")
        return self.folder

    def at(self, cell: Cell) -> "Work":
        """Return the work of one cell."""
        return Work(bench=self, cell=cell)


@dataclass(frozen=True, kw_only=True)
class Work:
    """The trainings of one cell, and its record."""

    bench: ReasonerBench
    cell: Cell

    @cached_property
    def identity(self) -> str:
        """The sha256 of all that decides the numbers of the cell."""
        arm, task = ARMS[self.cell.arm], TASKS[self.cell.task]
        sizes = self._sizes
        asked = [sizes.judged, sizes.further, sizes.tokens]
        return _sha256([self._decides(arm.training), asdict(arm), task.asked, asked])

    def run(self, progress: Progress) -> dict[str, Any]:
        """Train what is not trained yet, ask every problem, and write the record."""
        arm, task = ARMS[self.cell.arm], TASKS[self.cell.task]
        place, trained = self._train(arm.training, progress)
        model = load_model(str((place / arm.model).resolve()), device=self._device)
        context = Context(seed=self.cell.seed, task=task.address, progress=progress)
        rows: dict[str, dict[str, Any]] = {}
        asked = judged_rows(task, self._sizes)
        for title, options in _variants(arm, place).items():
            reasoner: Any = build(
                find("reasoner", arm.reasoner).recipe, self._allowed(arm, options)
            )
            for row, problems in asked.items():
                if title == "" or row == next(iter(asked)):
                    found = answers(reasoner, model, open_task(task.address), problems, context)
                    if title:
                        found["changed"] = changed(rows[row], found)
                    rows[f"{row}, {title}" if title else row] = found
        record = {**asdict(self.cell), "identity": self.identity, "training": trained, "rows": rows}
        place = self.bench.place / CELLS
        place.mkdir(parents=True, exist_ok=True)
        write_whole(place / f"{self.cell.name}.json", json.dumps(record).encode())
        return record

    def _train(self, name: str, progress: Progress) -> tuple[Path, dict[str, Any]]:
        """Return the folder of a training and what is known of it; train it if it is not done."""
        place = self.place_of(name)
        known = read_record(place / TRAINED)
        if known:
            return place, known
        begins = TRAININGS[name].begins
        start = self._train(begins, progress)[0] if begins else self._sizes.model
        recipe, context = self.recipe(name), self._context(name, place, progress)
        model: Model | None = load_model(str(start), device=self._device) if start else None
        is_resumed = place.exists()
        clocks = time.perf_counter(), time.process_time()
        sizes = self._sizes
        result = recipe.train(model or recipe.base_model(context), (), context)
        trained = {
            "name": name,
            "updates": TASKS[self.cell.task].writing * sizes.writing + sizes.updates,
            "losses": losses(result),
            "wall_seconds": time.perf_counter() - clocks[0],
            "processor_seconds": time.process_time() - clocks[1],
            "resumed": is_resumed,
        }
        write_whole(place / TRAINED, json.dumps(trained).encode())
        return place, trained

    def _context(self, name: str, place: Path, progress: Progress) -> Context:
        address = TASKS[self.cell.task].address
        if TRAININGS[name].recipe == "hybrid":
            address = part_address(address, "train")
        return Context(seed=self.cell.seed, task=address, scratch=place, progress=progress)

    def recipe(self, name: str) -> Any:
        """Return the recipe of a training with its options."""
        return build(find("recipe", TRAININGS[name].recipe).recipe, self._options(name))

    def _options(self, name: str) -> dict[str, Any]:
        return training_options(name, TASKS[self.cell.task], self._sizes)

    @property
    def _sizes(self) -> ReasonerPreset:
        return PRESETS[self.bench.preset]

    @property
    def _device(self) -> str:
        """Networks from nothing are too small to gain by an accelerator."""
        return "auto" if self._sizes.model else "cpu"

    def place_of(self, name: str) -> Path:
        """Return a folder that only this very training has; those that go on lie inside it."""
        begins = TRAININGS[name].begins
        above = self.place_of(begins) if begins else self.bench.place / self.cell.task
        mine = f"{name}-{self.cell.seed}-{_sha256(self._decides(name))[:8]}"
        return above / mine

    def _decides(self, name: str) -> list[Any]:
        begins = TRAININGS[name].begins
        before = self._decides(begins) if begins else [self._sizes.model]
        recipe = TRAININGS[name].recipe
        return [recipe, self._options(name), self.cell.seed, TASKS[self.cell.task].address, before]

    def _allowed(self, arm: Arm, options: Mapping[str, Any]) -> dict[str, Any]:
        return {"tokens": self._sizes.tokens, **options}


def bench_reasoners(
    bench: ReasonerBench, progress: Progress = silent, known: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Run every cell that has no record yet, and return the records of all.

    What is trained is kept batch by batch: a run that was stopped goes on, to the same losses.
    `known` are records made elsewhere: their cells are not run.

    Raises:
        FitError: a loss is not finite.
        StoreError: the folder cannot be written to.
    """
    cells, records, joined = list(bench.cells()), [], _by_identity(known)
    for number, cell in enumerate(cells, start=1):

        def told(done: int, total: int, label: str, at: str = f"{number}/{len(cells)}") -> None:
            progress(done, total, f"{label}, cell {at}")

        records.append(_known(bench, cell, joined) or bench.at(cell).run(told))
    progress(len(cells), len(cells), "cells")
    return records


def known_records(
    bench: ReasonerBench, known: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Return the records of the folder and those made elsewhere, running nothing."""
    joined = _by_identity(known)
    return [found for cell in bench.cells() if (found := _known(bench, cell, joined))]


def _by_identity(records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {record["identity"]: dict(record) for record in records}


def _known(
    bench: ReasonerBench, cell: Cell, joined: Mapping[str, dict[str, Any]]
) -> dict[str, Any] | None:
    """Return what the folder holds of a cell, else what was joined of the same plan."""
    return bench.record(cell) or joined.get(bench.at(cell).identity)


def read_record(path: Path) -> dict[str, Any] | None:
    """Return what a file holds, None without one."""
    found: dict[str, Any] | None = json.loads(path.read_bytes()) if path.is_file() else None
    return found


def losses(result: Result) -> dict[str, list[float]]:
    """Return the loss of every step of every stage, by the table and the stage that hold it."""
    found: dict[str, list[float]] = {}
    for name, table in result.tables.items():
        frame = table.frame
        if (
            {"loss", "step"} <= set(frame.columns)
            and "held_out" not in name
            and "valid" not in name
        ):
            found[name] = [float(loss) for loss in frame["loss"]]
    return found


def _variants(arm: Arm, place: Path) -> dict[str, dict[str, Any]]:
    """Return the options of the arm as it is, and with its thoughts replaced."""
    checkpoint = {"checkpoint": str((place / arm.folder).resolve())} if arm.folder else {}
    own = {**arm.options, **checkpoint}
    return {"": own, **{what: {**own, **options} for what, options in arm.replaced.items()}}


def _sha256(decides: Any) -> str:
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
