"""Tables as other programs write them: one planted table, many spellings, the same numbers."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from causal.scores.leaderboard import ScoreTable, read_scores
from causal.scores.table_options import TableOptions
from workbench.errors import BadOption, BadRows, TooLittleData, UnknownName

NAMES = ("Größe", "precision", "Tür zu", "type", "date")


def planted(n: int = 60) -> pd.DataFrame:
    """A linear chain with two decimals, in thousands, under names that facts have elsewhere."""
    noise = np.random.default_rng(5).laplace(size=(n, 5))
    values = np.zeros((n, 5))
    for j in range(5):
        values[:, j] = noise[:, j] + (0.8 * values[:, j - 1] if j else 0.0)
    return pd.DataFrame((1500 * values).round(2), columns=list(NAMES))


def spelled(frame: pd.DataFrame, cell: Callable[[float], str]) -> pd.DataFrame:
    return frame.map(cell)


def german(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


def csv(frame: pd.DataFrame, **how: object) -> bytes:
    encoding = str(how.pop("encoding", "utf-8"))
    text = frame.to_csv(index=bool(how.pop("index", False)), **how)  # type: ignore[call-overload]
    return str(text).encode(encoding)


DIALECTS: dict[str, tuple[str, Callable[[pd.DataFrame], bytes]]] = {
    "comma": (".csv", lambda f: csv(f)),
    "semicolon and decimal comma": (".csv", lambda f: csv(f, sep=";", decimal=",")),
    "semicolon, grouped thousands, cp1252": (
        ".csv",
        lambda f: csv(spelled(f, german), sep=";", encoding="cp1252"),
    ),
    "quoted decimal comma": (".csv", lambda f: csv(spelled(f, german), quoting=1)),
    "quoted thousands": (".csv", lambda f: csv(spelled(f, lambda v: f"{v:,.2f}"), quoting=1)),
    "tab and decimal comma": (".tsv", lambda f: csv(f, sep="\t", decimal=",")),
    "tab called csv": (".csv", lambda f: csv(f, sep="\t")),
    "pipe": (".csv", lambda f: csv(f, sep="|")),
    "byte order mark": (".csv", lambda f: csv(f, encoding="utf-8-sig")),
    "utf-16": (".csv", lambda f: csv(f, sep="\t", encoding="utf-16")),
    "utf-16 without mark": (".txt", lambda f: csv(f, sep=";", encoding="utf-16-le")),
    "windows line ends": (".csv", lambda f: csv(f, lineterminator="\r\n")),
    "old mac line ends": (".csv", lambda f: csv(f, lineterminator="\r")),
    "percent signs": (".csv", lambda f: csv(spelled(f, lambda v: f"{v:.2f} %"))),
    "spaces between thousands": (
        ".csv",
        lambda f: csv(spelled(f, lambda v: f"{v:,.2f}".replace(",", "\u202f")), sep=";"),
    ),
    "real minus sign": (".csv", lambda f: csv(spelled(f, lambda v: f"{v:.2f}".replace("-", "−")))),
    "index column": (".csv", lambda f: csv(f, index=True)),
    "index from one": (".csv", lambda f: csv(f.set_axis(range(1, len(f) + 1)), index_label="nr")),
    "trailing separators": (".csv", lambda f: csv(f).replace(b"\n", b",\n")),
    "declared separator": (".csv", lambda f: b"sep=;\n" + csv(f, sep=";")),
    "title above": (".csv", lambda f: b"Results of May\n\n" + csv(f)),
    "comments above": (".csv", lambda f: b"# by me, and you\n# in May\n" + csv(f, sep="\t")),
    "spaces around": (".csv", lambda f: csv(f).replace(b",", b" , ")),
    "empty lines": (".csv", lambda f: csv(f).replace(b"\n", b"\n\n")),
    "json rows": (".json", lambda f: f.to_json(orient="records").encode()),
    "json columns": (".json", lambda f: json.dumps(f.to_dict("list")).encode()),
    "json split": (".json", lambda f: f.to_json(orient="split").encode()),
    "json lines": (".jsonl", lambda f: f.to_json(orient="records", lines=True).encode()),
    "json of text": (".json", lambda f: spelled(f, german).to_json(orient="records").encode()),
    "parquet": (".parquet", lambda f: f.to_parquet()),
    "parquet with names as index": (
        ".parquet",
        lambda f: f.set_axis([f"m{i}" for i in range(len(f))]).to_parquet(),
    ),
}  # fmt: skip


def write(folder: Path, content: bytes, suffix: str = ".csv") -> Path:
    path = folder / f"table{suffix}"
    path.write_bytes(content)
    return path


def texts(table: ScoreTable) -> str:
    return "\n".join(note.text for note in table.notes)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_gives_the_same_numbers(tmp_path: Path, dialect: str) -> None:
    suffix, spell = DIALECTS[dialect]
    truth = planted()
    table = read_scores(write(tmp_path, spell(truth), suffix))
    assert table.benchmarks == NAMES
    np.testing.assert_allclose(table.scores, truth.to_numpy(), rtol=0, atol=1e-9)
    assert table.report.rows_kept == table.report.rows_read == len(truth)
    assert not table.has_domains


def test_a_table_without_a_header_says_so(tmp_path: Path) -> None:
    truth = planted()
    table = read_scores(write(tmp_path, csv(truth, header=False, sep=";", decimal=",")))
    assert table.benchmarks == ("x1", "x2", "x3", "x4", "x5")
    np.testing.assert_allclose(table.scores, truth.to_numpy())
    assert "no header" in texts(table)
    counted = read_scores(write(tmp_path, csv(truth.set_axis(range(5), axis=1))))
    assert counted.benchmarks == ("0", "1", "2", "3", "4")
    assert len(counted) == len(truth)
    years = read_scores(write(tmp_path, csv(truth.set_axis(range(2019, 2024), axis=1))))
    assert years.benchmarks[0] == "2019"


def test_repeated_and_empty_names_are_told_apart(tmp_path: Path) -> None:
    truth = planted().set_axis(["a", "a", "", "a (2)", "b"], axis=1)
    table = read_scores(write(tmp_path, csv(truth)))
    assert len(set(table.benchmarks)) == 5
    np.testing.assert_allclose(table.scores, truth.to_numpy())
    assert "told apart: 'a' as 'a (3)'" in texts(table)


def test_what_vanishes_is_named_with_file_and_line(tmp_path: Path) -> None:
    frame = planted().astype(object)
    frame.loc[3, "type"] = "broken"
    frame.loc[9, "precision"] = "n/a"
    frame.loc[12, "date"] = None
    frame["town"] = ["Köln", "Bonn"] * 30
    frame["still"] = 7
    frame["double"] = frame["Größe"] * -2.5
    frame["hole"] = None
    frame["rare"] = [1.5 if i < 10 else None for i in range(60)]
    table = read_scores(write(tmp_path, csv(frame, sep=";")))
    told = texts(table)
    assert "57 of 60 rows kept" in told
    assert "type: 1, first 'broken' in table.csv:5" in told
    assert "precision: 1, first 'n/a' in table.csv:11" in told
    assert "'town' (text, first 'Köln' in table.csv:2)" in told
    assert "'hole' (empty)" in told
    assert "'rare' (50 of 60 cells are missing)" in told
    assert "constant columns carry no information: still" in told
    assert "'Größe' and 'double' have correlation -1" in told
    fitted = TableOptions().scores_of(table.as_table())
    assert fitted.benchmarks == NAMES
    assert texts(fitted) == told


@pytest.mark.parametrize("sign", [1, -1])
def test_a_multiple_of_a_column_is_left_out_whatever_its_sign(tmp_path: Path, sign: int) -> None:
    frame = planted()
    frame["again"] = sign * 3 * frame["type"] + 4
    read = TableOptions().read(write(tmp_path, csv(frame)))
    fitted = TableOptions().scores_of(read)
    assert "again" not in fitted.benchmarks
    assert f"correlation {sign}" in texts(fitted)


def test_ragged_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    lines = csv(planted()).decode().splitlines()
    lines[4] += ",1,2"
    lines[7] = "1,2"
    table = read_scores(write(tmp_path, "\n".join(lines).encode()))
    assert len(table) == 58
    assert "2 of 60 rows left out: they do not have 5 cells, first table.csv:5 with 7" in texts(
        table
    )
    short = "\n".join([lines[0], *(line.rsplit(",", 1)[0] for line in lines[1:])])
    with pytest.raises(BadRows, match="rows do not have 5 cells"):
        read_scores(write(tmp_path, short.encode()))


def test_ambiguous_numbers_are_said_and_can_be_decided(tmp_path: Path) -> None:
    cells = "\n".join(f'"{i + 1},250";"{i * i + 2},500"' for i in range(9))
    path = write(tmp_path, f"a;b\n{cells}".encode())
    found = read_scores(path)
    assert "could be thousands or decimals" in texts(found)
    assert found.scores[0].tolist() == [1.25, 2.5]
    decided = TableOptions(decimal="point").scores_of(TableOptions(decimal="point").read(path))
    assert decided.scores[0].tolist() == [1250.0, 2500.0]
    assert "could be" not in texts(decided)


def test_facts_are_recognised_by_a_whole_schema_only(tmp_path: Path) -> None:
    frame = planted()
    rng = np.random.default_rng(0)
    for name in ("model", "domain", "evidence", "params", "merged", "frame", "benchmark"):
        frame[name] = rng.normal(size=60).round(3)
    table = read_scores(write(tmp_path, csv(frame)))
    assert table.benchmarks == tuple(frame.columns)
    again = TableOptions().scores_of(table.as_table())
    np.testing.assert_array_equal(again.scores, table.scores)
    assert again.benchmarks == table.benchmarks
    assert again.domain_counts() == {"all rows": 60}
    named = frame.assign(model=[f"m{i}" for i in range(60)], domain=["x", "y"] * 30)
    assert read_scores(write(tmp_path, csv(named))).domain_counts() == {"x": 30, "y": 30}


def test_model_and_domain_columns_are_named_alone_or_together(tmp_path: Path) -> None:
    frame = planted().assign(who=[f"m{i}" for i in range(60)], team=[1, 2, 3] * 20)
    path = write(tmp_path, csv(frame, sep=";", decimal=","))
    options = TableOptions(domain_column="team", least_models=8)
    read = options.enough(options.scores_of(options.read(path)))
    assert read.domain_counts() == {"1": 20, "2": 20, "3": 20}
    assert read.benchmarks == NAMES
    both = TableOptions(model_column="who", domain_column="team")
    assert list(both.scores_of(both.read(path)).facts["model"])[:2] == ["m0", "m1"]
    alone = TableOptions(model_column="who")
    assert not alone.scores_of(alone.read(path)).has_domains
    none = TableOptions(no_domains=True, model_column="who", columns=("type", "date"))
    assert none.scores_of(none.read(path)).benchmarks == ("type", "date")
    with pytest.raises(BadOption, match="exclude each other"):
        TableOptions(no_domains=True, domain_column="team").read(path)
    with pytest.raises(UnknownName, match="no column 'absent'"):
        TableOptions(domain_column="absent").read(path)
    with pytest.raises(BadOption, match="'who' holds no numbers"):
        TableOptions(columns=("who", "type")).read(path)
    with pytest.raises(BadOption, match="give one of them"):
        TableOptions(columns=("type",), benchmarks=("date",)).read(path)
    with pytest.raises(BadOption, match="named as a score and as a fact"):
        TableOptions(columns=("team", "type"), domain_column="team").read(path)


def test_small_and_unknown_domains_are_counted(tmp_path: Path) -> None:
    team = ["x"] * 40 + ["y"] * 15 + [None] * 5
    path = write(tmp_path, csv(planted().assign(team=team)))
    options = TableOptions(domain_column="team", least_models=30)
    kept = options.enough(options.scores_of(options.read(path)))
    assert len(kept) == 40
    assert "15 of 60 rows left out: their domains have fewer than 30 rows: y (15)" in texts(kept)
    assert "5 of 60 rows left out: their domain is not known" in texts(kept)


def test_missing_cells_are_kept_for_who_can_use_them(tmp_path: Path) -> None:
    class Keeps(TableOptions):
        keeps_missing = True  # type: ignore[assignment]
        takes_categories = True  # type: ignore[assignment]

    frame = planted().assign(town=["Köln", "Bonn", "Ulm"] * 20)
    frame.loc[4, "type"] = np.nan
    read = Keeps().read(write(tmp_path, csv(frame)))
    table = Keeps().scores_of(read)
    assert len(table) == 60
    assert np.isnan(table.scores).sum() == 1
    assert "missing cells are kept: type (1)" in texts(table)
    assert table.numbers["town"].tolist()[:3] == [1.0, 0.0, 2.0]
    assert "categories are numbered in alphabetical order: 'town': Bonn, Köln, Ulm" in texts(table)


def test_names_that_look_like_numbers_are_quoted_and_lists_of_names_spread(
    tmp_path: Path,
) -> None:
    frame = planted().set_axis(["nan", "inf", "a", "b", "c"], axis=1)
    frame.loc[2, "nan"] = np.nan
    path = write(tmp_path, csv(frame))
    assert "most often 'nan' (1)" in texts(read_scores(path))
    options = TableOptions(columns=("a,b", "nan"))
    assert options.scores_of(options.read(path)).benchmarks == ("a", "b", "nan")


def test_codes_of_few_values_are_said(tmp_path: Path) -> None:
    frame = planted().assign(code=[0, 1, 2] * 20, flag=["TRUE", "false"] * 30)
    table = read_scores(write(tmp_path, csv(frame)))
    assert "columns of few whole numbers: 'code' (3 values), 'flag' (2 values)" in texts(table)
    assert table.numbers["flag"].tolist()[:2] == [1.0, 0.0]


def test_tables_with_nothing_to_fit_are_explained(tmp_path: Path) -> None:
    options = TableOptions()
    one = write(tmp_path, b"a,b\n1.5,2.5\n")
    with pytest.raises(TooLittleData, match="1 rows and 2 columns are left"):
        options.enough(options.scores_of(options.read(one)))
    still = write(tmp_path, b"a,b\n" + b"".join(b"1,%d\n" % (i * i) for i in range(20)))
    with pytest.raises(TooLittleData, match="constant columns carry no information: a"):
        options.enough(options.scores_of(options.read(still)))
    strange = ((b"\x00\x01\x02\x00ab", "zero bytes|cannot be read"), (b"", "empty"))
    for content, told in (*strange, (b"PK\x03\x04rest", "begins as an Excel")):
        with pytest.raises(BadRows, match=told):
            read_scores(write(tmp_path, content))
    with pytest.raises(TooLittleData, match="no numeric column"):
        read_scores(write(tmp_path, b"a,b\nx,y\nz,w\n"))
    for content in (b"{", b"3", b"[]", b'{"a": [1], "b": [1, 2]}', b'[{"a": 1}, 3]'):
        with pytest.raises(BadRows, match="cannot be read as a table"):
            read_scores(write(tmp_path, content, ".json"))


def test_wide_tables_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = pd.DataFrame(rng.normal(size=(300, 40)).round(6)).add_prefix("v")
    table = read_scores(write(tmp_path, csv(truth, sep=";", decimal=",")))
    np.testing.assert_allclose(table.scores, truth.to_numpy())


def test_numbers_too_large_to_read_are_not_called_text(tmp_path: Path) -> None:
    rows = "".join(f"{i}e300,{i * i},{i}.5\n" for i in range(1, 20))
    told = texts(read_scores(write(tmp_path, f"a,b,c\n{rows}".encode())))
    assert "'a' (numbers beyond 1e+150, first '1e300'" in told
