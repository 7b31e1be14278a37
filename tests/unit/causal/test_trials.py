"""Fine-tuning trials beside predictions."""

from pathlib import Path

import numpy as np
import pytest

from causal.hca.fit import HierarchicalFit
from causal.scm.intervention import CapabilityModel
from causal.scm.trials import Trial, check_trials, moved_capability, read_trials
from causal.scores.leaderboard import ScoreTable
from workbench.errors import BadRows, ModelNotFound, TooLittleData, UnknownName

HEADER = "model,trained_on,evaluated,IFEval,BBH,MATH Lvl 5,GPQA,MUSR,MMLU-PRO\n"
BASE = "Qwen/Qwen2.5-14B,none (base model),2025,37,45,29,20,16,47\n"


def write(folder: Path, *rows: str) -> Path:
    path = folder / "trials.csv"
    path.write_text(HEADER + "".join(rows))
    return path


@pytest.fixture(scope="module")
def model(shipped_fit: HierarchicalFit) -> CapabilityModel:
    return CapabilityModel.of(shipped_fit)


def test_trials_are_read(tmp_path: Path, shipped: ScoreTable) -> None:
    path = write(
        tmp_path,
        BASE,
        "Qwen/Qwen2.5-14B,IFEval+MATH,2025,57,47,31,18,13,47\n",
        'Qwen/Qwen2.5-14B,"undocumented mix ""4""",2025,57,47,31,18,13,47\n',
    )
    one, other = read_trials(path, shipped.benchmarks)
    assert one.targets == ("IFEval", "MATH Lvl 5")
    assert other.targets == ()
    np.testing.assert_allclose(one.after - one.before, [20, 2, 2, -2, -3, 0])


def test_trials_with_semicolons_and_decimal_commas_are_read(
    tmp_path: Path, shipped: ScoreTable
) -> None:
    row = "Qwen/Qwen2.5-14B,IFEval,2025,57.5,47,31,18,13,47\n"
    path = write(tmp_path, BASE, row)
    plain = read_trials(path, shipped.benchmarks)
    path.write_text(path.read_text().replace(",", ";").replace(".5;", ",5;"))
    (other,) = read_trials(path, shipped.benchmarks)
    np.testing.assert_array_equal(other.after, plain[0].after)


def test_targets_are_imposed_and_others_predicted(model: CapabilityModel) -> None:
    e, benchmarks = model.domain("qwen2.5-14b"), model.rows.benchmarks
    before = np.array([37.0, 45, 29, 20, 16, 47])
    truth = model.gauge.responses[e][:, model.capability("IFEval")]
    trial = Trial(
        model="Qwen/Qwen2.5-14B",
        trained_on="IFEval",
        targets=("IFEval",),
        before=before,
        after=before + 1.5 * truth,
    )
    rows = check_trials(model, [trial]).table.rows()
    assert [row["role"] for row in rows].count("target") == 1
    for row, j in zip(rows, range(6), strict=True):
        assert row["benchmark"] == benchmarks[j]
        assert row["predicted"] == pytest.approx(row["observed"])
        assert row["equation"] == "own"


def test_overstatement_is_visible(tmp_path: Path, model: CapabilityModel) -> None:
    path = write(
        tmp_path,
        BASE,
        "Qwen/Qwen2.5-14B,IFEval,2025,57.4,46.6,31.5,18.2,13,46.7\n",
        "Qwen/Qwen2.5-14B,BBH,2025,29.9,67.3,28.7,13.7,15.9,45\n",
    )
    found = check_trials(model, read_trials(path, model.rows.benchmarks))
    rows = {(row["trained_on"], row["benchmark"]): row for row in found.table.rows()}
    maths = rows["IFEval", "MATH Lvl 5"]
    assert maths["ratio"] > 2.5
    assert maths["finding"] == "overstated"
    assert rows["BBH", "MMLU-PRO"]["finding"] == "wrong direction"
    assert rows["BBH", "BBH"]["finding"] == "imposed"
    assert "predicted changes are overstated" in found.notes[0].text


def test_unknown_base_borrows_and_unknown_mix_is_not_predicted(
    tmp_path: Path, model: CapabilityModel
) -> None:
    path = write(
        tmp_path,
        "google/gemma-2-9b,none,2025,20,33,13,12,13,35\n",
        "google/gemma-2-9b,IFEval,2025,60,33,13,12,13,35\n",
        "google/gemma-2-9b,secret,2025,60,33,13,12,13,35\n",
    )
    found = check_trials(model, read_trials(path, model.rows.benchmarks))
    equations = found.table.frame.groupby("trained_on")["equation"].first()
    assert dict(equations) == {"IFEval": "borrowed", "secret": "none"}
    secret = found.table.frame[found.table.frame["trained_on"] == "secret"]
    assert secret["predicted"].isna().all()


def test_capability_moved_by_a_benchmark(model: CapabilityModel) -> None:
    everywhere = range(len(model.rows))
    assert model.names[moved_capability(model, "MATH Lvl 5", everywhere)] == "MATH Lvl 5"
    assert model.names[moved_capability(model, "IFEval", everywhere)] == "IFEval"


def test_bad_trials_are_explained(tmp_path: Path, model: CapabilityModel) -> None:
    benchmarks = model.rows.benchmarks
    with pytest.raises(ModelNotFound):
        read_trials(tmp_path / "absent.csv", benchmarks)
    with pytest.raises(BadRows, match="no row before training for a/b"):
        read_trials(write(tmp_path, "a/b,IFEval,2025,1,2,3,4,5,6\n"), benchmarks)
    with pytest.raises(BadRows, match="scores missing in lines 2"):
        read_trials(write(tmp_path, "a/b,none,2025,x,2,3,4,5,6\n"), benchmarks)
    with pytest.raises(BadRows, match="no column 'ARC'"):
        read_trials(write(tmp_path, BASE), ("ARC",))
    with pytest.raises(TooLittleData, match="no trials"):
        check_trials(model, [])
    only = write(tmp_path, BASE, "Qwen/Qwen2.5-14B,secret,2025,1,2,3,4,5,6\n")
    with pytest.raises(UnknownName, match="nothing is predicted"):
        check_trials(model, read_trials(only, benchmarks))
