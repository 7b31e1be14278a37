"""The contrastive estimate that ships for the embedded model."""

from pathlib import Path

import numpy as np
import pytest

from probes.contrast.models import find_models
from probes.contrast.scoring import score
from probes.contrast.sequences import Row
from workbench.model.model import Model
from workbench.runs.store import Store
from workbench.sampling.prompting import prompt_ids
from workbench.sampling.task import Problem, open_task

pytestmark = pytest.mark.slow
OFF = 3


def answered(problem: Problem, off: int) -> str:
    equation, _, _ = problem.steps[0].rpartition(" ")
    value = int(problem.answer) + off
    return f" {equation} {value}. The answer is {value}."


def test_it_widens_the_gap_between_right_and_wrong_numbers(
    default_model: Model, tmp_path: Path
) -> None:
    model, store = default_model, Store(tmp_path)
    models = find_models(model, "", store)
    task = open_task(models.manifest.data.rpartition(" of ")[2])
    gaps = []
    for problem in task.problems(12, np.random.default_rng(99)):
        asked = prompt_ids(model, task, problem)
        ids = [tuple(model.tokenize(answered(problem, off)).row(0)) for off in (0, OFF)]
        first = next(k for k, (a, b) in enumerate(zip(*ids, strict=False)) if a != b)
        rows = [Row(prompt=asked, response=response) for response in ids]
        right, wrong = (scored.own for scored in score(model, models, rows, beta=1.0))
        gaps.append([getattr(right, x)[first] - getattr(wrong, x)[first] for x in ("s", "base")])
    contrast, base = np.mean(gaps, axis=0)
    assert contrast > base > 0
