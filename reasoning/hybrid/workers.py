"""Ablations side by side: in this process one after the other, or several processes at once."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from reasoning.hybrid.ablation_run import AblationSeed, HybridOptions, run_ablation
from workbench.errors import FitError
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.progress import Progress, silent
from workbench.training.checkpoint import Checkpoint
from workbench.worker import Worker, WorkerFailed


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
    """Where ablations are trained: the folder of all, whether to resume, and how many at once."""

    folder: Path
    resume: bool
    workers: int = 1
    loaded: Model | None = None


def run_ablations(
    ablations: Sequence[AblationSeed],
    options: HybridOptions,
    base: BaseAddress,
    workplace: Workplace,
    progress: Progress,
) -> None:
    """Train every ablation; several workers are processes, each with its share of the threads."""
    place = (workplace.folder, workplace.resume)
    if workplace.workers == 1:
        models = base.open(workplace.loaded)
        for one in ablations:
            run_ablation(one, options, models, place, progress)
        return
    threads = max(1, (os.cpu_count() or 1) // workplace.workers)
    workers = [Worker("reasoning.hybrid.workers:train") for _ in range(workplace.workers)]
    free: SimpleQueue[Worker] = SimpleQueue()
    for worker in workers:
        free.put(worker)
    with ThreadPoolExecutor(workplace.workers) as pool:
        orders = [Order(one, options, base, place, threads) for one in ablations]
        waiting = [pool.submit(_in_process, order, free) for order in orders]
        try:
            for done, future in enumerate(as_completed(waiting), start=1):
                future.result()
                progress(done, len(ablations), "arms")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.close()


class Order(NamedTuple):
    """One ablation as another process is told to train it, on so many threads."""

    one: AblationSeed
    options: HybridOptions
    base: BaseAddress
    place: tuple[Path, bool]
    threads: int


def _in_process(order: Order, free: "SimpleQueue[Worker]") -> None:
    worker = free.get()
    try:
        worker.call(order)
    except WorkerFailed as error:
        raise FitError(
            f"ablation {order.one.ablation} of seed {order.one.seed} was not trained: {error}",
            hint="run it again: it goes on from what is kept; or use fewer --workers",
        ) from error
    finally:
        free.put(worker)


def train(order: Order) -> None:
    """Train one ablation on its share of the threads."""
    import torch

    torch.set_num_threads(order.threads)
    run_ablation(order.one, order.options, order.base.open(), order.place, silent)
