"""Bands of a task from planted accuracies, and both volatilities by hand."""

import pytest

from causal.worlds.scenario import scenarios
from workbench.errors import DataError


def _file(tmp_path, grid, **more):
    path = tmp_path / "scores.csv"
    rows = [
        f"{model},{prompt},{x},{','.join(v[model] for v in more.values())}"
        for model, xs in grid.items()
        for prompt, x in zip(("basic", "role"), xs, strict=True)
    ]
    path.write_text("\n".join([f"model,prompt,accuracy,{','.join(more)}", *rows]))
    return path


@pytest.mark.parametrize(
    ("grid", "understood", "solved"),
    [
        ({"a": (20, 30), "b": (10, 40)}, "very hard", "unsolvable"),
        ({"a": (60, 70), "b": (10, 40), "c": (20, 20)}, "hard", "challenging"),
        ({"a": (85, 50), "b": (60, 60)}, "easy", "potentially solvable"),
        ({"a": (90, 80), "b": (75, 75), "c": (60, 60)}, "easy", "solvable"),
        ({"a": (90, 80), "b": (75, 75), "c": (70, 70)}, "easy", "well solved"),
    ],
)
def test_bands_follow_the_best_scores(tmp_path, grid, understood, solved):
    (row,) = scenarios(_file(tmp_path, grid)).table("tasks").rows()
    assert (row["understood"], row["solved"]) == (understood, solved)


def test_volatility_is_the_spread_over_prompts_and_over_models(tmp_path):
    found = scenarios(_file(tmp_path, {"a": (50, 70), "b": (60, 60)}))
    assert [r["volatility"] for r in found.table("models").rows()] == pytest.approx([200**0.5, 0])
    assert [r["volatility"] for r in found.table("prompts").rows()] == pytest.approx([50**0.5] * 2)


@pytest.mark.parametrize(("n", "gap"), [(6, "large"), (5, "moderate"), (4, "small")])
def test_the_gap_counts_limited_models_among_the_five_best(tmp_path, n, gap):
    grid = {name: (90 - i, 90 - i) for i, name in enumerate("abcdef")}
    # The worst is always limited, and is not among the five.
    access = {name: "limited" if i >= 6 - n else "open" for i, name in enumerate("abcdef")}
    (row,) = scenarios(_file(tmp_path, grid, access=access)).table("tasks").rows()
    assert row["gap"] == gap


def test_scores_that_are_no_percentages_are_named(tmp_path):
    found = scenarios(_file(tmp_path, {"a": (50, 150)}))
    assert any("scores.csv:3" in note.text for note in found.notes)
    assert [row["accuracy"] for row in found.table("models").rows()] == [50]
    with pytest.raises(DataError, match="between 0 and 100"):
        scenarios(_file(tmp_path, {"a": (150, 150)}))
    semicolons = tmp_path / "semi.csv"
    semicolons.write_text("model;prompt;accuracy\na;p;50,5\na;q;49,5\n")
    assert scenarios(semicolons).table("models").rows()[0]["accuracy"] == pytest.approx(50)
    bare = tmp_path / "bare.csv"
    bare.write_text("model,accuracy\na,1\n")
    with pytest.raises(DataError, match="prompt"):
        scenarios(bare)
