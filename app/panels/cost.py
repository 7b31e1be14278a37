"""What a run will cost, judged by an earlier one of the same probe on the same model."""

from dataclasses import dataclass

from workbench.errors import WorkbenchError
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, RunSpec
from workbench.runs.store import Store


@dataclass(frozen=True, kw_only=True)
class Cost:
    """How many texts a run will read and how many seconds that may take, None where unknown."""

    n_texts: int | None = None
    seconds: float | None = None
    is_stored: bool = False


def expected_cost(spec: RunSpec, store: Store) -> Cost:
    """Look for an earlier run and scale its time by the number of texts.

    A run of another data set counts as well: texts differ in length, so this is a rough guide.
    """
    n_texts = count_texts(spec.data)
    if is_stored(spec, store):
        return Cost(n_texts=n_texts, is_stored=True)
    last = _last_run(spec, store)
    if last is None:
        return Cost(n_texts=n_texts)
    before = _texts_of(last)
    seconds = float(last.provenance.get("seconds") or 0.0)
    if not before or n_texts is None:
        return Cost(n_texts=n_texts, seconds=seconds)
    return Cost(n_texts=n_texts, seconds=seconds * n_texts / before)


def count_texts(data: DataRef) -> int | None:
    """Count the rows a run would read, None where that would mean reading a large file."""
    if data.texts:
        return len(data.texts)
    path = data.file
    if data.activations or path is None or not path.is_file():
        return data.limit
    if path.stat().st_size > 64 << 20:
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


def _last_run(spec: RunSpec, store: Store) -> Run | None:
    wanted = {"kind": spec.kind, "name": spec.name, "status": "complete"}
    if spec.model is not None:
        wanted |= {"model": spec.model.name, "backend": spec.model.backend}
    try:
        found = store.find(**wanted).rows()
        return store.get(found[0]["run_id"], verify=False) if found else None
    except WorkbenchError:
        return None


def _texts_of(run: Run) -> int:
    if run.spec.data.texts:
        return len(run.spec.data.texts)
    sizes = [e.n for e in (run.result.estimates if run.result else ()) if e.n_unit == "texts"]
    return max(sizes, default=0)
