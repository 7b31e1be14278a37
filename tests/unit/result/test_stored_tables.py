"""Long tables: they stay on disk until their cells are asked for, and pages are read alone."""

import copy
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from workbench.errors import CorruptRun
from workbench.result.result import Result
from workbench.result.tables import Column, Table
from workbench.runs.folder import ROWS_AT_A_TIME
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, RunSpec
from workbench.runs.store import Store

N = ROWS_AT_A_TIME * 2 + 1000


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({"row": range(N), "word": [f"w{i % 7}" for i in range(N)]})


@pytest.fixture
def path(tmp_path: Path, frame: pd.DataFrame) -> Path:
    frame.to_parquet(tmp_path / "t.parquet", index=False, row_group_size=ROWS_AT_A_TIME)
    return tmp_path / "t.parquet"


@pytest.mark.parametrize(
    ("first", "n"), [(0, 10), (ROWS_AT_A_TIME - 5, 10), (N - 3, 10), (N + 5, 10), (7, 0), (0, N)]
)
def test_a_page_holds_its_rows_and_no_others(
    path: Path, frame: pd.DataFrame, first: int, n: int
) -> None:
    wanted = frame.iloc[first : first + n].to_dict("list")
    assert Table.stored(path).page(first, n).frame.to_dict("list") == wanted
    assert Table(frame).page(first, n).frame.to_dict("list") == wanted


def test_a_page_reads_its_row_groups_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    groups = pq.ParquetFile.read_row_groups

    def counted(self: pq.ParquetFile, wanted: list[int]) -> object:
        read.extend(wanted)
        return groups(self, wanted)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", counted)
    table = Table.stored(path, {"row": Column(unit="rows")})
    assert len(table) == N
    assert table.page(ROWS_AT_A_TIME + 1, 5).label("row") == "row (rows)"
    assert read == [1]
    assert "frame" not in vars(table)


def test_a_stored_table_is_like_any_other(path: Path, frame: pd.DataFrame) -> None:
    table = Table.stored(path)
    for twin in (table, copy.deepcopy(table)):
        assert twin["row"].sum() == frame["row"].sum()
        assert len(twin) == N
        with pytest.raises(AttributeError):
            twin.no_such_thing  # noqa: B018
    assert table.page(3, 2).rows() == [{"row": 3, "word": "w3"}, {"row": 4, "word": "w4"}]


def test_a_file_that_went_away_is_explained(path: Path) -> None:
    table = Table.stored(path)
    path.unlink()
    with pytest.raises(CorruptRun):
        table.page(0, 5)
    with pytest.raises(CorruptRun):
        table.frame  # noqa: B018
    with pytest.raises(CorruptRun):
        Table.stored(path)


def test_a_run_keeps_long_tables_on_disk(tmp_path: Path, frame: pd.DataFrame) -> None:
    store = Store(tmp_path / "store")
    result = Result(summary="rows", tables={"rows": Table(frame), "few": Table(frame.head(3))})
    spec = RunSpec(name="isotropy", data=DataRef(path="rows.jsonl"))
    store.put(Run(spec=spec, status="complete", result=result))
    back = store.get(spec.run_id)
    assert back.result is not None
    assert "frame" not in vars(back.result.tables["rows"])
    assert "frame" in vars(back.result.tables["few"])
    assert back.result.tables["rows"].equals(Table(frame))
