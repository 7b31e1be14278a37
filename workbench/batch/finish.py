"""The end of a batch: bad rows in one file, activations in one index, one run per probe."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pandas as pd

from workbench.batch.folder import DONE, QUARANTINE
from workbench.batch.keeping import INDEX
from workbench.batch.merging import Parts, merge
from workbench.batch.session import Session
from workbench.batch.shards import Manifest, sealed, shard_path, unsealed, write_file
from workbench.batch.work import BAD_ROWS, read_bad_rows
from workbench.errors import CorruptRun, WorkbenchError
from workbench.result.finite_result import check_finite
from workbench.runs.bad_rows import with_bad_rows
from workbench.runs.reading import BadRow
from workbench.runs.run import Failure, Run, Status, environment
from workbench.runs.store import Store


def finish(session: Session, started: datetime) -> tuple[Run, ...]:
    """Write the files of the whole batch and keep one run per probe.

    Whatever is there already and whole is left as it is.

    Raises:
        StoreError: the disk is full or not writable.
    """
    folder = session.folder
    manifests = [session.manifests[i] for i in sorted(session.manifests)]
    shards = [shard_path(folder, m.shard) for m in manifests]
    is_done = _is_done(session)
    quarantine = b"".join((shard / BAD_ROWS).read_bytes() for shard in shards)
    _put(session, QUARANTINE, quarantine, is_done=is_done)
    if session.plan.keep.sites:
        _put(session, INDEX, _index(session, manifests), is_done=is_done)
    bad = [row for shard in shards for row in read_bad_rows(shard / BAD_ROWS)]
    runs = []
    for number in range(len(session.plan.specs)):
        run = _stored(session, number) if is_done else None
        runs.append(run or _joined(session, number, bad, started))
    if not is_done and all(run.status != "failed" for run in runs):
        write_file(folder / DONE, _seal_of_all(session))
    return tuple(runs)


def _seal_of_all(session: Session) -> bytes:
    runs = [spec.run_id for spec in session.plan.specs]
    return sealed({"plan": session.plan.hash, "runs": runs})


def _is_done(session: Session) -> bool:
    path = session.folder / DONE
    if not path.exists():
        return False
    try:
        unsealed(path.read_bytes(), DONE)
    except CorruptRun as error:
        session.tell_damage(error.message)
        return False
    return path.read_bytes() == _seal_of_all(session)


def _put(session: Session, name: str, content: bytes, *, is_done: bool) -> None:
    path = session.folder / name
    is_whole = path.exists() and path.read_bytes() == content
    if is_done and not is_whole:
        session.tell_damage(f"{name} missing or changed since written")
    if not is_whole:
        write_file(path, content)


def _stored(session: Session, number: int) -> Run | None:
    spec = session.plan.specs[number]
    store = session.store
    try:
        run = store.get(spec.run_id) if spec.run_id in store else None
    except CorruptRun as error:
        session.tell_damage(error.message)
        return None
    is_ours = run is not None and run.provenance.get("batch", {}).get("plan") == session.plan.hash
    return run if is_ours else None


def _joined(session: Session, number: int, bad: Sequence[BadRow], started: datetime) -> Run:
    plan, work = session.plan, session.work
    spec = plan.specs[number]
    plugin, recipe = plan.recipes()[number]
    manifests = [session.manifests[i] for i in sorted(session.manifests)]
    parts = Parts.of(session.folder, plan.keys()[number], manifests, limit=_limit(session))
    context = replace(work.context(), progress=session.reporter.progress)
    provenance: dict[str, Any] = {
        "started": started.isoformat(timespec="milliseconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 3),
        "seed": spec.seed,
        "source": plugin.source,
        "spec_hash": spec.hash,
        "model": vars(work.model.spec),
        "batch": {"name": plan.name, "plan": plan.hash, "shards": len(manifests)},
        **environment(),
    }
    try:
        result = with_bad_rows(merge(recipe, parts, context), bad)
        check_finite(result)
    except WorkbenchError as error:
        run = Run(spec=spec, status="failed", failure=Failure.of(error), provenance=provenance)
    else:
        status: Status = "partial" if bad else "complete"
        run = Run(spec=spec, status=status, result=result, provenance=provenance)
    _keep(session.store, run)
    return run


def _keep(store: Store, run: Run) -> None:
    # A failure never takes the place of a result, as behind every other door.
    was = store.status(run.run_id)
    if run.status != "failed" or was not in ("complete", "partial"):
        store.put(run)


def _limit(session: Session) -> int:
    return min(session.plan.specs[0].max_tokens, session.work.model.spec.max_positions)


def _index(session: Session, manifests: Sequence[Manifest]) -> bytes:
    frames = []
    for manifest in manifests:
        if manifest.n_good:
            frame = pd.read_parquet(shard_path(session.folder, manifest.shard) / INDEX)
            frames.append(frame.assign(shard=manifest.shard, place=range(len(frame))))
    stream = BytesIO()
    pd.concat(frames, ignore_index=True).to_parquet(stream, index=False)
    return stream.getvalue()
