"""What a run will cost, learned from earlier runs: a fixed part and a part for every row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.errors import WorkbenchError
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, RunSpec
from workbench.runs.store import Store

_LOOKED_AT = 12
_LARGE = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Cost:
    """How many texts a run will read and how many seconds that may take, None where unknown."""

    n_texts: int | None = None
    seconds: float | None = None
    is_stored: bool = False


def expected_cost(spec: RunSpec, store: Store) -> Cost:
    """Judge a run by earlier complete ones of the same plugin on the same model.

    Runs of another data set count as well: texts differ in length, so this is a rough guide.
    """
    n_texts = count_texts(spec.data)
    if is_stored(spec, store):
        return Cost(n_texts=n_texts, is_stored=True)
    return Cost(n_texts=n_texts, seconds=expected_seconds(spec, store, n_texts))


def expected_seconds(spec: RunSpec, store: Store, n: int | None) -> float | None:
    """Return how long a run over `n` rows may take, None where no earlier one tells."""
    known = [(_rows_of(run), _seconds(run)) for run in _earlier(spec, store)]
    return fitted_seconds([(rows, s) for rows, s in known if s > 0], n)


def fitted_seconds(known: Sequence[tuple[int, float]], n: int | None) -> float | None:
    """Return fixed + n · per row, both from (rows, seconds) of earlier runs, the newest first.

    With runs of one size only, the time is taken to grow in proportion to the rows.

    >>> fitted_seconds([(10, 7.0), (20, 12.0)], 100)
    52.0
    >>> fitted_seconds([(10, 7.0)], 20)
    14.0
    """
    if not known:
        return None
    rows, seconds = (np.array(x, np.float64) for x in zip(*known, strict=True))
    if n is None or not rows[0]:
        return float(seconds[0])
    if len(set(rows)) < 2:
        return float(np.median(seconds)) * n / float(rows[0])
    slope = float(np.cov(rows, seconds, bias=True)[0, 1] / rows.var())
    slope = min(max(slope, 0.0), float((seconds / np.maximum(rows, 1)).max()))
    fixed = max(float(seconds.mean() - slope * rows.mean()), 0.0)
    return round(fixed + slope * n, 3)


def time_left(
    expected: float | None, elapsed: float, stage_left: float | None
) -> tuple[float | None, bool]:
    """Return the seconds that are left and whether they are those of the whole run.

    Without an earlier run only the stage that is going on can be judged; a run that takes longer
    than expected is judged by its stage again.
    """
    if expected is None or elapsed >= expected:
        return stage_left, False
    return max(expected - elapsed, stage_left or 0.0), True


def count_texts(data: DataRef) -> int | None:
    """Count the rows a run would read, None where that would mean reading a large file."""
    if data.texts:
        return len(data.texts)
    path = data.file
    if data.activations or path is None or not path.is_file() or path.stat().st_size > _LARGE:
        return data.limit
    from workbench.runs.reading import read_examples

    try:
        good, _ = read_examples(data)
    except WorkbenchError:
        return None
    return len(good)


def is_stored(spec: RunSpec, store: Store) -> bool:
    """Whether the store holds that very run."""
    from workbench.runs.drivers import resolved

    try:
        return resolved(spec, store).spec.run_id in store
    except WorkbenchError:
        return False


def _earlier(spec: RunSpec, store: Store) -> list[Run]:
    wanted = {"kind": spec.kind, "name": spec.name, "status": "complete"}
    if spec.model is not None:
        wanted |= {"model": spec.model.name, "backend": spec.model.backend}
    found = []
    for row in store.find(**wanted).rows()[:_LOOKED_AT]:
        try:
            found.append(store.get(row["run_id"], verify=False))
        except WorkbenchError:
            continue
    return found


def _seconds(run: Run) -> float:
    return float(run.provenance.get("seconds") or 0.0)


def _rows_of(run: Run) -> int:
    if run.spec.data.texts:
        return len(run.spec.data.texts)
    sizes = [e.n for e in (run.result.estimates if run.result else ()) if e.n_unit == "texts"]
    return max(sizes, default=0)
