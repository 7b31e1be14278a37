"""Reading score tables: what is kept, what is said, what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from causal.scores.leaderboard import ScoreTable, bundled, from_table, read_scores
from causal.scores.row_filters import RowFilter
from causal.scores.schemas import (
    EXTRACT_FACTS,
    OPEN_LLM_SCORES,
    Schema,
    detect,
    family_name,
    task_group,
)
from causal.scores.snapshots import compare_snapshots
from workbench.errors import BadOption, BadRows, ModelNotFound, TooLittleData, UnknownName
from workbench.result.tables import Table


def raw_board(n: int = 30) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "fullname": [f"org/llama-3-8b-{i}" for i in range(n)],
            "Precision": "bfloat16",
            "Model sha": [f"{i:04x}" for i in range(n)],
            "Type": "🔶 fine-tuned",
            "Architecture": "LlamaForCausalLM",
            "#Params (B)": 8.03,
            "Base Model": "Removed",
            "Merged": [i % 3 == 0 for i in range(n)],
            "MoE": False,
            "Flagged": [i == 1 for i in range(n)],
            "Chat Template": True,
            "Submission Date": "2025-01-01",
        }
    )
    for name in OPEN_LLM_SCORES:
        frame[name] = rng.uniform(1, 60, n)
    return frame


def read_frame(frame: pd.DataFrame) -> ScoreTable:
    return from_table(Table(frame))


def test_known_board_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "board.csv"
    raw_board().to_csv(path)
    table = read_scores(path)
    assert table.benchmarks == OPEN_LLM_SCORES
    assert table.snapshot.schema == "open-llm-leaderboard-v2"
    assert table.snapshot.latest == "2025-01-01"
    assert len(table.snapshot.sha256) == 64
    assert table.domain_counts() == {"llama-3-8b": 30}
    assert table.rows(["llama-3-8b"]).blocks[0].shape == (30, 6)
    assert "30 rows" in table.snapshot.id


def test_parquet_and_csv_agree(tmp_path: Path) -> None:
    raw_board().to_csv(tmp_path / "a.csv", index=False)
    raw_board().to_parquet(tmp_path / "a.parquet")
    one, other = read_scores(tmp_path / "a.csv"), read_scores(tmp_path / "a.parquet")
    np.testing.assert_allclose(one.scores, other.scores)
    assert one.snapshot.sha256 != other.snapshot.sha256


def test_untidy_columns_are_understood() -> None:
    frame = raw_board().rename(columns={"GPQA": "GPQA_x", "BBH": " BBH\n"})
    frame.insert(0, "Unnamed: 0", range(len(frame)))
    assert read_frame(frame).benchmarks == OPEN_LLM_SCORES


def test_missing_and_non_numeric_cells_are_dropped_and_named() -> None:
    frame = raw_board().astype({"IFEval": object})
    frame.loc[2, "IFEval"] = "n/a"
    frame.loc[3, "GPQA"] = np.nan
    table = read_frame(frame)
    assert len(table) == 28
    assert table.report.missing["IFEval"] == 1
    texts = " ".join(note.text for note in table.notes)
    assert "'n/a' in row 3" in texts
    assert "28 of 30 rows kept" in texts


def test_constant_and_duplicated_columns_are_named() -> None:
    frame = raw_board()
    frame["GPQA"] = 5.0
    frame["MUSR"] = frame["BBH"]
    texts = " ".join(note.text for note in read_frame(frame).notes)
    assert "constant columns carry no information: GPQA" in texts
    assert "'BBH' and 'MUSR' hold the same numbers" in texts


def test_many_zeros_are_named() -> None:
    frame = raw_board()
    frame.loc[:9, "MATH Lvl 5"] = 0.0
    texts = " ".join(note.text for note in read_frame(frame).notes)
    assert "10 of 30 models score exactly 0 on MATH Lvl 5" in texts


def test_repeated_keys_are_counted() -> None:
    frame = pd.concat([raw_board(), raw_board().head(2)])
    assert read_frame(frame).report.repeated_keys == 2


def test_own_table_by_mapping(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "who": list("abcd"),
            "team": list("xxyy"),
            "s1": range(4),
            "s2": [1.5] * 4,
            "remark": list("...."),
        }
    )
    path = tmp_path / "own.csv"
    frame.to_csv(path, index=False)
    schema = Schema(name="own", facts={"model": "who", "domain": "team"})
    table = read_scores(path, schema=schema)
    assert table.benchmarks == ("s1", "s2")
    assert table.domain_counts() == {"x": 2, "y": 2}
    assert table.report.left_out == ("remark",)


def test_problems_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no file"):
        read_scores(tmp_path / "absent.csv")
    (tmp_path / "a.xlsx").write_bytes(b"")
    with pytest.raises(BadRows, match=r"ends in '\.xlsx'"):
        read_scores(tmp_path / "a.xlsx")
    (tmp_path / "a.parquet").write_bytes(b"not parquet")
    with pytest.raises(BadRows, match="cannot be read as a table"):
        read_scores(tmp_path / "a.parquet")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(BadRows, match="cannot be read"):
        read_scores(tmp_path / "empty.csv")
    (tmp_path / "header.csv").write_text("fullname,IFEval\n")
    with pytest.raises(TooLittleData, match="no rows"):
        read_scores(tmp_path / "header.csv")
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n")
    assert read_scores(tmp_path / "odd.csv").snapshot.schema == "plain table"
    with pytest.raises(BadRows, match="names no file"):
        read_scores("hub:owner/name")


def test_missing_columns_rows_and_scores_are_explained() -> None:
    schema = Schema(name="own", facts={"model": "fullname"})
    with pytest.raises(UnknownName, match="'speed'"):
        from_table(Table(raw_board()), schema=schema, scores=("speed",))
    frame = raw_board()
    frame["IFEval"] = np.nan
    with pytest.raises(TooLittleData, match=r"IFEval \(30 of 30\)"):
        read_frame(frame)
    frame = raw_board().astype({"fullname": object})
    frame.loc[4, "fullname"] = None
    with pytest.raises(BadRows, match="first row 5"):
        read_frame(frame)
    with pytest.raises(TooLittleData, match="no numeric column"):
        from_table(Table(pd.DataFrame({"m": ["a"]})), schema=Schema(name="o", facts={"model": "m"}))
    with pytest.raises(UnknownName, match="maps colour; facts are model"):
        Schema(name="own", facts={"colour": "x"})


def test_tasks_are_grouped_by_kind() -> None:
    frame = pd.DataFrame({"Model": ["gte-large", "e5-base", "gte-small"]})
    for i in range(6):
        frame[f"Topic{i}Classification"] = [float(i), 1.0, 2.0]
        frame[f"Text{i}Retrieval"] = [1.0, 2.0, np.nan if i == 0 else 3.0]
    frame["Odd"] = 1.0
    table = from_table(Table(frame), grouped=True)
    assert table.benchmarks == ("Classification", "Retrieval")
    assert list(table.frame["Classification"]) == [2.5, 1.0]
    assert list(table.frame["domain"]) == ["gte", "e"]
    assert any(note.code == "grouped-tasks" for note in table.notes)
    assert task_group("ArguAna") == ""
    assert family_name("BAAI/bge-m3") == "bge"


def test_a_table_read_before_keeps_its_identity(shipped: ScoreTable) -> None:
    again = from_table(shipped.as_table())
    assert again.snapshot == shipped.snapshot
    assert again.benchmarks == shipped.benchmarks
    np.testing.assert_array_equal(again.scores, shipped.scores)


def test_content_hash_depends_on_cells() -> None:
    one, other = raw_board(), raw_board()
    other.loc[0, "BBH"] += 1e-9
    assert read_frame(one).snapshot.sha256 == read_frame(raw_board()).snapshot.sha256
    assert read_frame(one).snapshot.sha256 != read_frame(other).snapshot.sha256


def test_shipped_table_holds_facts_only(shipped: ScoreTable) -> None:
    assert len(shipped) == 3913
    facts = set(shipped.frame.columns) - set(OPEN_LLM_SCORES)
    assert facts == set(EXTRACT_FACTS)
    assert np.isfinite(shipped.scores).all()
    assert shipped.scores.min() >= 0
    assert shipped.scores.max() <= 100
    assert detect(map(str, shipped.frame.columns)).name == "score-table"


def test_unknown_domain_is_explained(shipped: ScoreTable) -> None:
    with pytest.raises(UnknownName, match=r"no domain 'gpt'; there are llama-3-8b \(716\)"):
        shipped.rows(["gpt"])


def test_filters_drop_and_say_so() -> None:
    frame = raw_board()
    frame.loc[5, list(OPEN_LLM_SCORES)] = frame.loc[4, list(OPEN_LLM_SCORES)].to_numpy()
    frame.loc[6, "fullname"] = frame.loc[0, "fullname"].upper()
    table = read_frame(frame)
    kept = RowFilter(duplicates=True).apply(table)
    assert len(kept) == 28
    assert any("2 duplicate submissions left out" in note.text for note in kept.notes)
    assert len(RowFilter(merges=True).apply(table)) == 20
    assert len(RowFilter(flagged=True).apply(table)) == 29
    assert len(RowFilter(mixtures=True).apply(table)) == 30
    assert len(RowFilter(dropped_types=("fine-tuned",)).apply(table)) == 0
    assert len(RowFilter().apply(table)) == 30


def test_evidence_filter_keeps_the_stronger(shipped: ScoreTable) -> None:
    kept = RowFilter(weakest="declared").apply(shipped)
    assert set(kept.frame["evidence"]) == {"name", "declared"}
    with pytest.raises(BadOption, match="expected one of name"):
        RowFilter(weakest="none")


def test_worse_than_base_compares_with_the_base_row() -> None:
    frame = raw_board()
    frame.loc[0, "fullname"] = "meta-llama/Meta-Llama-3-8B"
    table = read_frame(frame)
    mean = table.scores.mean(axis=1)
    kept = RowFilter(worse_than_base=True).apply(table)
    assert len(kept) == (mean >= mean[0]).sum()
    assert "meta-llama/Meta-Llama-3-8B" in set(kept.frame["model"])


def test_disagreeing_snapshots_are_loud() -> None:
    frame = raw_board()
    later = frame.copy()
    later["MATH Lvl 5"] += 10
    later.loc[0, "BBH"] += 1
    compared = compare_snapshots(read_frame(frame), read_frame(later))
    assert compared.notes
    assert compared.shared == 30
    assert [note.code for note in compared.notes] == ["snapshots-disagree"]
    assert "MATH Lvl 5 differs on 100% of 30 models" in compared.notes[0].text
    rows = {row["benchmark"]: row for row in compared.table.rows()}
    assert rows["MATH Lvl 5"]["mean_change"] == pytest.approx(10)
    assert rows["BBH"]["differ"] == 1
    assert not compare_snapshots(read_frame(frame), read_frame(frame)).notes


def test_snapshots_without_shared_models_are_refused() -> None:
    frame = raw_board()
    other = frame.assign(fullname=[f"other/{i}" for i in range(30)])
    with pytest.raises(TooLittleData, match="nothing to compare"):
        compare_snapshots(read_frame(frame), read_frame(other))


def test_bundled_reads_the_same_twice() -> None:
    assert bundled().snapshot == bundled().snapshot
