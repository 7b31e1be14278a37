"""Shards computed by the workers of a Ray cluster, each holding the model."""

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench import errors
from workbench.batch.plan import BatchPlan
from workbench.batch.rows import Row, chunks
from workbench.batch.session import Session
from workbench.batch.shards import Manifest, read_manifest
from workbench.batch.work import ShardWork
from workbench.errors import BadOption, CorruptRun, EnvironmentProblem, WorkbenchError
from workbench.runs.models import shared_model

_STORE_BYTES = 100 << 20
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class OnRay:
    """Ray Data over the numbers of the shards; a worker that dies costs the shard it was at.

    Without an address a cluster of this machine is started for the batch, on loopback only.
    Workers read the data file and write the batch folder themselves, so both must be reachable
    under the same path from every node. Each takes one GPU where the cluster has any, else an
    equal share of the cores. Every shard starts with the plan's own token budget.
    """

    workers: int = 1
    address: str = ""

    def __post_init__(self) -> None:
        """Check the number of workers.

        Raises:
            BadOption: there is no worker.
        """
        if self.workers < 1:
            raise BadOption(f"workers is {self.workers}; expected at least 1")

    def compute(self, session: Session, missing: Sequence[int]) -> Iterator[Manifest]:
        """Compute and commit the shards, in the order in which they come to an end.

        Raises:
            EnvironmentProblem: Ray is not installed, or the cluster cannot be reached or
                lost its workers for good.
            WorkbenchError: what a worker met in its shard.
        """
        with _cluster(self) as ray:
            done = _shards(ray, self.workers, missing, (session.plan, str(session.folder)))
            try:
                for row in done.iter_rows():
                    yield _manifest(row["manifest"])
            except ray.exceptions.RayError as error:
                raise EnvironmentProblem(
                    f"Ray stopped: {str(error).strip().splitlines()[-1]}",
                    hint="every finished shard is kept; go on with --resume",
                ) from error


def _shards(ray: Any, workers: int, missing: Sequence[int], given: tuple[Any, ...]) -> Any:
    data = ray.data
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    data.DataContext.get_current().enable_progress_bars = False
    found = ray.cluster_resources()
    has_gpu = found.get("GPU", 0) > 0
    numbers = data.from_items([{"shard": n} for n in missing], override_num_blocks=len(missing))
    return numbers.map_batches(
        ShardWorker,
        batch_size=1,
        compute=data.ActorPoolStrategy(size=min(workers, len(missing))),
        fn_constructor_args=given,
        num_cpus=max(1, int(found.get("CPU", 1)) // workers),
        num_gpus=1 if has_gpu else None,
    )


class ShardWorker:
    """One worker: the plan and its model, kept from shard to shard."""

    def __init__(self, plan: BatchPlan, folder: str) -> None:
        """Remember the plan; the model is loaded with the first shard."""
        self._plan, self._folder = plan, Path(folder)
        self._work: ShardWork | None = None
        self._chunks: Iterator[tuple[int, tuple[Row, ...]]] = iter(())
        self._next = -1

    def __call__(self, batch: Mapping[str, Sequence[int]]) -> dict[str, list[str]]:
        """Commit the shards with these numbers; what went wrong comes back as data."""
        return {"manifest": [self._tell(int(number)) for number in batch["shard"]]}

    def _tell(self, number: int) -> str:
        try:
            return json.dumps(asdict(self.commit(number)))
        except WorkbenchError as error:
            kind = type(error).__name__
            return json.dumps({"error": kind, "message": error.message, "hint": error.hint})

    def commit(self, number: int) -> Manifest:
        """Return a whole shard: the one left by a worker that died just then, or a new one.

        Raises:
            WorkbenchError: the model cannot be loaded, or the shard cannot be computed or kept.
        """
        try:
            found = read_manifest(self._folder, number)
        except CorruptRun:
            found = None
        if found is not None and found.plan == self._plan.hash:
            return found
        if self._work is None:
            self._work = ShardWork(self._plan, shared_model(self._plan.model))
        budget = self._plan.specs[0].batch_tokens
        return self._work.commit(self._folder, number, self._rows(number), budget)

    def _rows(self, number: int) -> tuple[Row, ...]:
        # Shards mostly come in rising order: the file is read on from where the last one ended.
        if self._next < 0 or number < self._next:
            self._chunks = enumerate(chunks(self._plan.data, self._plan.shard_rows))
        for found, rows in self._chunks:
            self._next = found + 1
            if found == number:
                return rows
        raise errors.DataError(f"{self._plan.data.path} has no shard {number}; was it changed?")


def _manifest(text: str) -> Manifest:
    values = json.loads(text)
    if "error" not in values:
        return Manifest(**values)
    kind = getattr(errors, values["error"], errors.WorkbenchError)
    try:
        error: WorkbenchError = kind(values["message"], hint=values["hint"])
    except TypeError:
        error = errors.WorkbenchError(values["message"], hint=values["hint"])
    raise error


@contextmanager
def _cluster(wanted: OnRay) -> Iterator[Any]:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise EnvironmentProblem(
            "Ray is not installed", hint="pip install 'latent-workbench[ray]'"
        ) from error
    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    own: dict[str, Any] = {
        "num_cpus": max(wanted.workers, os.cpu_count() or 1),
        "include_dashboard": False,
        "object_store_memory": _STORE_BYTES,
        "_node_ip_address": _LOOPBACK,
    }
    try:
        ray.init(**quiet, **({"address": wanted.address} if wanted.address else own))
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise EnvironmentProblem(
            f"no Ray cluster at {wanted.address or 'this machine'}: {error}",
            hint="start one with `ray start --head`, or leave --address out",
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
