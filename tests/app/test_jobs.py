"""Background runs: progress, cancelling, failures, and finding them again."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.panels.jobs import Jobs
from app.panels.run_panel import progress_words
from workbench.errors import RunNotFound, UnknownName
from workbench.methods import registry
from workbench.methods.contracts import Stopped
from workbench.methods.registry import Plugin
from workbench.options import option
from workbench.result.result import Result
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store

GATE = threading.Event()


@dataclass(frozen=True, kw_only=True)
class Slow:
    """Wait at a gate between two steps."""

    fails: bool = option(False, help="Raise something nobody foresaw.")
    endless: bool = option(False, help="Run the model for ever and never say how far it is.")

    def study(self, model, examples, context) -> Result:
        context.progress(1, 4, "texts")
        while self.endless:
            try:
                model.run("the cat")
            except KeyboardInterrupt as stop:
                raise Stopped(Result(summary="what was done by then")) from stop
        GATE.wait(20)
        if self.fails:
            raise ZeroDivisionError("by hand")
        context.progress(4, 4, "texts")
        return Result(summary="done")


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch):
    registry.load_plugins()
    known = {**registry._plugins, ("probe", "slow"): Plugin.of("probe", "slow", Slow)}
    monkeypatch.setattr(registry, "_plugins", known)
    GATE.clear()

    def spec(**options) -> RunSpec:
        model = ModelRef(name="tiny:llama")
        return RunSpec(name="slow", options=options, model=model, data=DataRef(texts=("a",)))

    yield spec
    GATE.set()


def until(jobs: Jobs, run_id: str, state: str) -> None:
    deadline = time.monotonic() + 60
    while jobs.find(run_id).state != state and time.monotonic() < deadline:
        time.sleep(0.01)
    assert jobs.find(run_id).state == state


def test_a_run_can_be_watched_and_ends_in_the_store(slow, store_path: Path) -> None:
    jobs, store = Jobs(), Store(store_path)
    run_id = jobs.start(slow(), store)
    until(jobs, run_id, "running")
    while not jobs.find(run_id).total:
        time.sleep(0.01)
    seen = jobs.find(run_id)
    assert (seen.done, seen.total, seen.label) == (1, 4, "texts")
    assert "1 of 4 texts" in progress_words(seen)
    assert jobs.start(slow(), store) == run_id
    assert len(jobs.live()) == 1
    GATE.set()
    assert jobs.wait(run_id, 30.0)
    assert jobs.find(run_id).state == "done"
    assert store.get(run_id).result.summary == "done"


def test_a_cancelled_run_is_stored_as_interrupted(slow, store_path: Path) -> None:
    jobs, store = Jobs(), Store(store_path)
    run_id = jobs.start(slow(), store)
    until(jobs, run_id, "running")
    jobs.cancel(run_id)
    assert "is stopping" in progress_words(jobs.find(run_id))
    GATE.set()
    assert jobs.wait(run_id, 30.0)
    assert jobs.find(run_id).state == "stopped"
    assert store.get(run_id).status == "interrupted"


def test_a_run_that_says_nothing_stops_before_its_next_pass(slow, store_path: Path) -> None:
    jobs, store = Jobs(), Store(store_path)
    run_id = jobs.start(slow(endless=True), store)
    until(jobs, run_id, "running")
    while not jobs.find(run_id).total:
        time.sleep(0.01)
    jobs.cancel(run_id)
    assert jobs.wait(run_id, 20.0), "it should stop within a pass"
    assert store.get(run_id).result.summary == "what was done by then"


def test_an_unforeseen_error_ends_in_words(slow, store_path: Path) -> None:
    jobs = Jobs()
    run_id = jobs.start(slow(fails=True), Store(store_path))
    GATE.set()
    jobs.wait(run_id, 30.0)
    found = jobs.find(run_id)
    assert found.state == "failed"
    assert "by hand" in found.failure.message


def test_what_could_never_run_raises_at_once(store_path: Path) -> None:
    jobs = Jobs()
    with pytest.raises(UnknownName):
        jobs.start(RunSpec(name="no-such-probe"), Store(store_path))
    with pytest.raises(RunNotFound):
        jobs.cancel("nothing")
    assert jobs.find("nothing") is None
