"""Arms side by side: in this process one after the other, or several processes at once."""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from reasoning.hybrid.arm_run import ArmSeed, Training, run_arm
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.progress import Progress, silent
from workbench.training.checkpoint import Checkpoint


@dataclass(frozen=True, kw_only=True)
class BaseAddress:
    """How another process loads the base model, and the folder of the format adapter, if any."""

    name: str
    device: str
    dtype: str
    start: str = ""

    def open(self, loaded: Model | None = None) -> tuple[Model, Checkpoint | None]:
        """Load both; a model that is in memory under that name is taken as it is."""
        if loaded is None or loaded.spec.name != self.name:
            loaded = load_model(self.name, device=self.device, dtype=self.dtype)
        return loaded, Checkpoint.load(Path(self.start)) if self.start else None


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """Where arms are trained: the folder of all, whether to resume, and how many at once."""

    folder: Path
    resume: bool
    workers: int = 1
    loaded: Model | None = None


def run_arms(
    arms: Sequence[ArmSeed],
    training: Training,
    base: BaseAddress,
    workplace: Workplace,
    progress: Progress,
) -> None:
    """Train every arm; with several workers each is a process with its share of the threads."""
    place = (workplace.folder, workplace.resume)
    if workplace.workers == 1:
        models = base.open(workplace.loaded)
        for one in arms:
            run_arm(one, training, models, place, progress)
        return
    threads = max(1, (os.cpu_count() or 1) // workplace.workers)
    context = get_context("spawn")
    with ProcessPoolExecutor(workplace.workers, mp_context=context) as pool:
        waiting = {pool.submit(_in_process, one, training, base, place, threads) for one in arms}
        for done, future in enumerate(as_completed(waiting), start=1):
            future.result()
            progress(done, len(arms), "arms")


def _in_process(
    one: ArmSeed,
    training: Training,
    base: BaseAddress,
    place: tuple[Path, bool],
    threads: int,
) -> None:
    import torch

    torch.set_num_threads(threads)
    run_arm(one, training, base.open(), place, silent)
