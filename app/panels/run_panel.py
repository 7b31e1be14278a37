"""A run in the making: how far it is, how long it will take, and a way to stop it."""

from collections.abc import Callable

import streamlit as st

from app.panels.jobs import JOBS, Snapshot
from app.panels.problem_panel import show_failure, show_problem
from app.panels.session import store
from app.panels.wording import count, duration, plain_markdown
from workbench.errors import WorkbenchError
from workbench.runs.examples import example_ids, keep_example
from workbench.runs.run import Run
from workbench.runs.spec import RunSpec

_PATIENCE = 0.4


def begin(spec: RunSpec, *, fresh: bool = False) -> str | None:
    """Start a run in the background and return its id; None after showing why it cannot start."""
    try:
        run_id = JOBS.start(spec, store(), fresh=fresh)
    except WorkbenchError as error:
        show_problem(error)
        return None
    JOBS.wait(run_id, _PATIENCE)  # a quick one needs no progress bar
    return run_id


def ensure(spec: RunSpec) -> str | None:
    """Start a run the first time this session asks for it, and return its id every time."""
    known: dict[str, str] = st.session_state.setdefault("run ids", {})
    if spec.hash not in known:
        run_id = begin(spec)
        if run_id is None:
            return None
        known[spec.hash] = run_id
    return known[spec.hash]


def example(name: str) -> tuple[str, ...]:
    """Return the runs of an example that ships with the package, none after showing why."""
    try:
        return keep_example(name, store())
    except WorkbenchError as error:
        show_problem(error)
        return ()


def say_example(run_id: str, advice: str) -> None:
    """Say that a run is an example, and what to do for one of one's own."""
    if run_id in example_ids():
        words = f"An example that ships with the package. {advice}"
        st.caption(plain_markdown(words))


def finished(run_id: str, *, key: str = "") -> Run | None:
    """Return a run once it is in the store; until then show its progress, or why it failed."""
    job = JOBS.find(run_id)
    if job is not None and job.is_live:
        _watch(run_id, key)
        return None
    if job is not None and job.state in ("failed", "stopped") and run_id not in store():
        if job.failure is not None:
            show_failure(job.failure, heading=f"{job.name} {job.state}")
        return None
    try:
        return stored(run_id)
    except WorkbenchError as error:
        show_problem(error)
        return None


def result_of(spec: RunSpec, *, key: str) -> Run | None:
    """Run a spec unless that was done, and return the run once it has a result.

    Until then its progress is shown; a run that failed is shown with its reason and a button to
    try again.
    """
    run_id = ensure(spec)
    run = finished(run_id, key=key) if run_id else None
    if run is None or run.result is not None:
        return run
    if run.failure is not None:
        show_failure(run.failure, heading=f"{spec.name} {run.status}")
    ids: dict[str, str] = st.session_state["run ids"]
    if st.button("Try again", key=f"again {key}"):
        del ids[spec.hash]
        st.rerun()
    return None


def stored(run_id: str) -> Run:
    """Read a run from the store, each version of it once.

    Raises:
        RunNotFound: no run of that id.
        CorruptRun: its files do not match their checksums.
    """
    home = store()
    found = home.complete(run_id)
    record = home.path(found) / "run.json"
    return _read((str(home.folder), found, record.stat().st_mtime_ns))


@st.cache_resource(show_spinner=False, max_entries=64)
def _read(version: tuple[str, str, int]) -> Run:
    return store().get(version[1])


def _watch(run_id: str, key: str) -> None:
    @st.fragment(run_every=0.5, key=f"watch {run_id} {key}")
    def watching() -> None:
        job = JOBS.find(run_id)
        if job is None or not job.is_live:
            st.rerun()
        else:
            show_progress(job, key=key)

    watching()


def show_progress(job: Snapshot, *, key: str = "", narrow: bool = False) -> None:
    """Draw how far a job is, and a button to stop it."""
    if narrow:
        bar = stop = st.container()
    else:
        bar, stop = st.columns([5, 1], vertical_alignment="center")
    share = min(job.done / job.total, 1.0) if job.total else 0.0
    bar.progress(share, text=plain_markdown(progress_words(job)))
    stop.button(
        "Stop",
        key=f"stop {job.run_id} {key}",
        on_click=_stopper(job.run_id),
        disabled=job.is_stopping,
        help="Stops before the next pass of the model and keeps what was counted.",
    )


def progress_words(job: Snapshot) -> str:
    """Say how far a job is, how fast it goes and how long it will take."""
    if job.is_stopping:
        return f"{job.name} is stopping… and keeps what was counted"
    if job.state == "waiting":
        return f"{job.name} waits for another run to end"
    words = [job.name]
    if job.total:
        words.append(f"{job.done} of {count(job.total, job.label.rstrip('s') or 'step')}")
    else:
        words.append("getting ready")
    if job.rate is not None:
        words.append(f"{job.rate:.3g} {job.label} per second")
    if job.left is None:
        words.append(f"{duration(job.elapsed)} so far")
    elif job.is_whole:
        words.append(f"about {duration(job.left)} left")
    else:
        words.append(f"about {duration(job.left)} left of this step")
    return " · ".join(words)


def _stopper(run_id: str) -> Callable[[], None]:
    return lambda: JOBS.cancel(run_id)
