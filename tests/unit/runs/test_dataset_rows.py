"""Hugging Face datasets as rows: streamed in order, pinned, and named when they cannot be read."""

from pathlib import Path

import datasets
import pytest

from workbench.batch.rows import count_rows
from workbench.errors import BadOption, DataError, InputError
from workbench.methods.contracts import Example
from workbench.runs.dataset_rows import DatasetAddress
from workbench.runs.execute import execute
from workbench.runs.reading import BadRow, read_rows
from workbench.runs.spec import DataRef, RunSpec

ROWS = {"question": ["one", "two", "", "four"], "n": [1, 2, 3, 4]}


@pytest.fixture(params=["saved", "by split", "files"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same rows in each form a folder may have."""
    rows, place = datasets.Dataset.from_dict(ROWS), tmp_path / "rows"
    if request.param == "saved":
        rows.save_to_disk(str(place))
    elif request.param == "by split":
        datasets.DatasetDict({"train": rows}).save_to_disk(str(place))
    else:
        place.mkdir()
        rows.to_parquet(str(place / "train.parquet"))
    return place


def test_rows_come_in_order_and_bad_ones_are_named(folder: Path) -> None:
    data = DataRef(path=f"dataset:{folder}", field="question", label="n")
    found = list(read_rows(data))
    assert [row.text for row in found if isinstance(row, Example)] == ["one", "two", "four"]
    assert [row.label for row in found if isinstance(row, Example)] == [1.0, 2.0, 4.0]
    (bad,) = [row for row in found if isinstance(row, BadRow)]
    assert bad.source == "rows[train]:3"
    assert count_rows(data).n_rows == 4


def test_the_content_is_pinned(folder: Path) -> None:
    spec = RunSpec(name="isotropy", data=DataRef(path=f"dataset:{folder}", field="question"))
    first = spec.pinned()
    assert first.pinned() == first
    assert len(first.data.sha256) == 64
    (folder / "more.txt").write_text("changed")
    assert spec.pinned().data.sha256 != first.data.sha256


@pytest.mark.parametrize("query", ["split=validation", "split=train[", "config=none&split=x"])
def test_what_is_not_there_is_said(folder: Path, query: str) -> None:
    with pytest.raises(DataError, match="cannot read dataset:"):
        list(read_rows(DataRef(path=f"dataset:{folder}?{query}", field="question")))


@pytest.mark.parametrize(
    "text", ["dataset:", "dataset:?split=x", "dataset:a/b?part=x", "dataset:a/b?split=x&split=y"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadOption, match="expected dataset:OWNER/NAME"):
        DatasetAddress.parse(text)


def test_an_address_comes_back_from_its_text() -> None:
    address = DatasetAddress(name="o/n", config="a b", split="train[:10%]", revision="f00")
    assert DatasetAddress.parse(str(address)) == address


def test_a_table_of_scores_is_not_quietly_another_one(folder: Path) -> None:
    spec = RunSpec(
        kind="discovery", name="hierarchical", model=None, data=DataRef(path=f"dataset:{folder}")
    )
    with pytest.raises(InputError, match="reads a table of scores"):
        execute(spec)


@pytest.mark.parametrize(
    "name", ["no/such-dataset-here", "../no such/name", "a/b/c", "x" * 5000, "~nobody/x"]
)
def test_without_a_hub_it_says_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="hub") as caught:
        RunSpec(name="isotropy", data=DataRef(path=f"dataset:{name}")).pinned()
    assert "dataset:FOLDER" in (caught.value.hint or "")
