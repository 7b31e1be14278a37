"""How hard a set of questions is, told by the accuracies of many models asked in many ways."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from causal.scores.files import load_table
from causal.scores.numerals import read_column
from workbench.errors import DataError
from workbench.result.result import Note, Result
from workbench.result.tables import Table, columns_from
from workbench.result.views import Bars

_NEEDED = ("model", "prompt", "accuracy")
_TOP, _WELL, _FAIRLY, _THIRD = 5, 80.0, 70.0, 3


def scenarios(path: Path, *, guess: float = 50.0) -> Result:
    """Judge each task of a CSV with model, prompt and accuracy (and task, guess, access).

    Accuracies and guesses are in percent; `access` is `limited` for models whose weights are not
    public. Model volatility is the standard deviation of a model's accuracies over prompts, prompt
    volatility that of a prompt over models.

    Raises:
        WorkbenchError: the file cannot be read, a column is missing, or no accuracy is a
            percentage; rows without one are left out and named.

    Source: Chen et al. 2024, arXiv:2405.00622, section 5, with the bands of their evaluation.
    """
    frame, notes = _read(path, guess)
    rows, models, prompts = list[dict[str, Any]](), list[dict[str, Any]](), list[dict[str, Any]]()
    for task, some in frame.groupby("task", sort=False):
        grid = some.pivot_table(index="model", columns="prompt", values="accuracy", sort=False)
        limited = {str(m) for m in some.loc[some["access"] == "limited", "model"]}
        rows.append({"task": task, **judged(grid, float(some["guess"].iloc[0]), limited)})
        for found, name, each in ((models, "model", grid), (prompts, "prompt", grid.T)):
            told = zip(each.index, each.mean(axis=1), each.std(axis=1), strict=True)
            found += [{"task": task, name: n, "accuracy": m, "volatility": s} for n, m, s in told]
    tables = {"tasks": rows, "models": models, "prompts": prompts}
    summary = "; ".join(
        f"{r['task']}: {r['understood']} to understand, {r['solved']}" for r in rows
    )
    n_single = frame.groupby("task")["model"].nunique().lt(_TOP).sum()
    few = f"{n_single} tasks have fewer than {_TOP} models: the gap is that of those there are"
    return Result(
        summary=f"{summary}.",
        tables={name: Table.from_rows(some, _COLUMNS) for name, some in tables.items()},
        notes=(*notes, *([Note(few, "warning", "few-models")] if n_single else [])),
        views=(Bars("Volatility by model", "models", x="model", y="volatility"),),
    )


def judged(grid: pd.DataFrame, guess: float, limited: set[str]) -> Mapping[str, Any]:
    """Return the bands of one task; rows of the grid are models and columns prompts, in percent."""
    scores = grid.to_numpy(dtype=np.float64)
    scores = scores[np.isfinite(scores)]
    means = grid.mean(axis=1).sort_values(ascending=False, kind="stable")
    best, average, middle = float(scores.max()), float(means.iloc[0]), float(np.median(scores))
    third = float(means.iloc[min(_THIRD, len(means)) - 1])
    understood = "hard" if middle < guess else "easy"
    if np.quantile(scores, 0.75) < guess:
        understood = "very hard"
    if best < guess:
        solved = "unsolvable"
    elif best < _WELL:
        solved = "challenging"
    elif average < _FAIRLY:
        solved = "potentially solvable"
    else:
        solved = "solvable" if third < _FAIRLY else "well solved"
    n_limited = sum(str(m) in limited for m in means.index[:_TOP])
    return {
        "understood": understood,
        "solved": solved,
        "gap": {_TOP: "large", _TOP - 1: "moderate"}.get(n_limited, "small"),
        "best": best,
        "best_mean": average,
        "third_mean": third,
        "median": middle,
        "guess": guess,
        "n_models": len(means),
    }


def _read(path: Path, guess: float) -> tuple[pd.DataFrame, list[Note]]:
    """Return the usable rows, and notes on those that are left out."""
    raw = load_table(path)
    frame, notes = raw.frame.reset_index(drop=True), list(raw.notes)
    missing = [name for name in _NEEDED if name not in frame]
    if missing:
        raise DataError(
            f"{path.name} has no column {', '.join(missing)}; there are "
            f"{', '.join(map(str, frame.columns))}",
            hint=f"a table with the columns {', '.join(_NEEDED)}",
        )
    for name, standard in (("task", "all"), ("guess", guess), ("access", "open")):
        given = frame[name] if name in frame else pd.Series(standard, index=frame.index)
        frame[name] = given.where(given.notna() & (given != ""), standard)
    for name in ("accuracy", "guess"):
        frame[name] = read_column(frame[name].tolist(), "", "point").values
    fits = frame["accuracy"].between(0.0, 100.0) & frame["guess"].between(0.0, 100.0)
    left = [raw.place(int(row)) for row in frame.index[~fits]]
    if not fits.any():
        raise DataError(
            f"{path.name} holds no accuracy between 0 and 100 ({', '.join(left[:_TOP])})",
            hint="accuracies in percent",
        )
    if left:
        named = ", ".join(left[:_TOP]) + (f" and {len(left) - _TOP} more" * (len(left) > _TOP))
        words = f"{len(left)} of {len(frame)} rows hold no percentage and are left out: {named}"
        notes.append(Note(words, "warning", "bad-rows"))
    return frame[fits], notes


_COLUMNS = columns_from("""
    accuracy (percent): Mean accuracy.
    volatility (percent): Standard deviation of the accuracies.
    understood: easy, hard (half of the scores lie below a guess) or very hard (three quarters do).
    solved: How well the best prompt and the best models do.
    gap: How many of the five best models are of limited access: large five, moderate four.
    best (percent): Best accuracy of a model with a prompt.
    best_mean (percent): Best mean over prompts.
    third_mean (percent): Third best mean over prompts.
    median (percent): Median over models and prompts.
    guess (percent): Accuracy of a guess.
    n_models: Models with a score.
""")
