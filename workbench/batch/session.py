"""What one call on a batch works with: plan, folder, store, and a model only when needed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from workbench.batch.folder import check_shard
from workbench.batch.pace import Pace
from workbench.batch.plan import BatchPlan
from workbench.batch.shards import Manifest
from workbench.batch.work import ShardWork
from workbench.errors import InputError
from workbench.model.model import Model
from workbench.progress import Progress, silent
from workbench.runs.models import shared_model
from workbench.runs.store import Store


def _unheard(_: object) -> None:
    """Say nothing."""


@dataclass(frozen=True, kw_only=True)
class Reporter:
    """Where news goes: steps done, the pace after each shard, and lines worth reading."""

    progress: Progress = silent
    pace: Callable[[Pace], None] = _unheard
    say: Callable[[str], None] = _unheard


@dataclass(kw_only=True, eq=False)
class Session:
    """One call on one batch folder; `damaged` names what was found broken.

    `model` replaces loading the plan's model with one already in memory.
    """

    plan: BatchPlan
    folder: Path
    store: Store
    reporter: Reporter
    model: Model | None = None
    damaged: list[str] = field(default_factory=list)
    manifests: dict[int, Manifest] = field(default_factory=dict)

    def check(self, n_shards: int) -> None:
        """Find the shards that are whole."""
        for number in range(n_shards):
            found: list[str] = []
            manifest = check_shard(self.folder, number, self.plan, found)
            for line in found:
                self.tell_damage(line)
            if manifest is not None:
                self.manifests[number] = manifest
            self.reporter.progress(number + 1, n_shards, "shards checked")

    @cached_property
    def work(self) -> ShardWork:
        """The plan with its model, loaded the first time it is needed.

        Raises:
            InputError: the shards that are there were computed with another model.
            WorkbenchError: the model cannot be loaded, or lacks a site of the plan.
        """
        model = self.model or shared_model(self.plan.model, self.reporter.progress)
        work = ShardWork(self.plan, model)
        others = {m.model for m in self.manifests.values()} - {work.identity}
        if others:
            raise InputError(
                f"{self.folder} was begun with the model {others.pop()}; it is {work.identity} now",
                hint="give the plan another name to begin anew",
            )
        return work

    def tell_damage(self, line: str) -> None:
        """Keep and say that something was found broken."""
        self.damaged.append(line)
        self.reporter.say(f"damaged, made anew: {line}")
