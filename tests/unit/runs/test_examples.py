"""Runs that ship: whole, made by the specs that are listed, and put into a store once."""

import pytest

from workbench.errors import UnknownName
from workbench.runs.drivers import resolved
from workbench.runs.examples import EXAMPLES, example_ids, keep_example
from workbench.runs.execute import execute
from workbench.runs.store import Store


def test_every_example_is_kept_whole_and_once(store_path) -> None:
    store = Store(store_path)
    for name in EXAMPLES:
        ids = keep_example(name, store)
        assert ids == keep_example(name, store)
        assert {store.get(run_id).status for run_id in ids} == {"complete"}
        made = [resolved(spec, store).spec.run_id for spec in EXAMPLES[name]]
        assert list(ids) == made, "make them again: python -m workbench.runs.examples"
        assert set(ids) <= example_ids()


def test_an_example_that_is_not_there_is_named(store_path) -> None:
    with pytest.raises(UnknownName, match="graph"):
        keep_example("nonsense", Store(store_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chain", "problems"])
def test_an_example_says_what_its_spec_gives_today(name: str, store_path) -> None:
    store = Store(store_path)
    for run_id, spec in zip(keep_example(name, store), EXAMPLES[name], strict=True):
        found, kept = execute(spec, fresh=True), store.get(run_id)
        assert found.result is not None
        assert kept.result is not None
        assert found.result.summary == kept.result.summary
