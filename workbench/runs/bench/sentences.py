"""What reasoning in sentence vectors costs: a cached batch against the published procedure."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import BadOption
from workbench.methods.contracts import Context, Prompt
from workbench.methods.registry import find
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.options import build
from workbench.progress import Progress, silent
from workbench.runs.bench.hooks import Bar, ran_on, told
from workbench.runs.bench.plain_sentences import plain_answer
from workbench.runs.run import environment
from workbench.sampling.task import open_task
from workbench.training.sentence_model import SentenceModel, open_sentences

TIMES_FASTER = 5.0
STRATEGIES: dict[str, dict[str, Any]] = {
    "sentence-continuous": {"decode": "answer"},
    "sentence-discretized": {},
}
CaptureMethod = Callable[[], Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class SentenceBench:
    """What to time: a model with its sentence pipeline, a task, and how many problems of it."""

    model: str = "blocksworld-sentences"
    checkpoint: str = ""
    task: str = "blocksworld?blocks=4&brief=yes&part=test"
    batch: int = 64
    repeats: int = 3
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        if min(self.batch, self.repeats) < 1:
            raise BadOption(f"batch {self.batch}, repeats {self.repeats}; expected at least 1")


def bench_sentences(bench: SentenceBench, *, progress: Progress = silent) -> dict[str, Any]:
    """Time each strategy in one batch, row by row, and as published, in turn within one run.

    All ways answer the same problems greedily with the same stop head; how many of their answers
    are the published procedure's is reported. Times are processor seconds on a CPU and wall
    seconds elsewhere; ratios are medians over repeats of times in the same repeat.

    Raises:
        BadOption: a size below one.
        ModelNotFound: no model of that name, or no pipeline for it.
    """
    model = load_model(bench.model, device=bench.device)
    trained = open_sentences(model, bench.checkpoint)
    task, stream = open_task(bench.task), Context().stream("problems")
    questions = [p.question for p in task.problems(bench.batch, stream)]
    rows: list[dict[str, Any]] = []
    for i, strategy in enumerate(STRATEGIES):
        progress(i, len(STRATEGIES), "strategies")
        ways = _ways(strategy, bench, model, trained, questions)
        rows += _rows(strategy, *_timed(model, ways, bench.repeats), len(questions))
    progress(len(STRATEGIES), len(STRATEGIES), "strategies")
    return {
        **ran_on(model),
        "task": bench.task,
        "problems": len(questions),
        "repeats": bench.repeats,
        "clock": "processor seconds" if model.device.type == "cpu" else "wall seconds",
        "environment": environment(),
        "ways": rows,
        "bars": told(bars(rows, len(questions))),
    }


def bars(rows: Sequence[Mapping[str, Any]], batch: int) -> list[Bar]:
    """Return the claim: continuous in a batch takes at most a fifth of the published way's time."""
    found = {(row["strategy"], row["way"]): row for row in rows}
    faster = found["sentence-continuous", "batch"]["times_faster"]
    claim = f"sentence-continuous, batch {batch} / as published, time"
    return [Bar(claim=claim, value=1 / faster, limit=1 / TIMES_FASTER)]


def _ways(
    strategy: str, bench: SentenceBench, model: Model, trained: SentenceModel, asked: Sequence[str]
) -> dict[str, CaptureMethod]:
    options = {**STRATEGIES[strategy], "checkpoint": bench.checkpoint}
    recipe: Any = build(find("reasoner", strategy).recipe, options)
    ground = strategy == "sentence-discretized"

    def solve(questions: Sequence[str]) -> list[str]:
        chains = recipe.solve(
            model,
            [Prompt(question=q) for q in questions],
            seeds=[0] * len(questions),
            context=Context(),
        )
        return [chain.steps[-1].text for chain in chains]

    return {
        "batch": lambda: solve(asked),
        "one by one": lambda: [solve([q])[0] for q in asked],
        "as published": lambda: [plain_answer(trained, q, ground=ground) for q in asked],
    }


def _timed(
    model: Model, ways: Mapping[str, CaptureMethod], repeats: int
) -> tuple[dict[str, list[float]], dict[str, Sequence[str]]]:
    """Time every way in turn, the order turning; the first repeat warms up and is lost."""
    clock = time.process_time if model.device.type == "cpu" else time.perf_counter
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    answers: dict[str, Sequence[str]] = {}
    names = list(ways)
    for repeat in range(repeats + 1):
        for i in range(len(names)):
            way = names[(i + repeat) % len(names)]
            began = clock()
            # The answers are text, so a GPU has been waited for.
            answers[way] = ways[way]()
            if repeat:
                seconds[way].append(clock() - began)
    return seconds, answers


def _rows(
    strategy: str,
    seconds: Mapping[str, list[float]],
    answers: Mapping[str, Sequence[str]],
    n: int,
) -> list[dict[str, Any]]:
    published = seconds["as published"]
    rows: list[dict[str, Any]] = []
    for way, spent in seconds.items():
        faster = [b / a for a, b in zip(spent, published, strict=True)]
        same = sum(a == b for a, b in zip(answers[way], answers["as published"], strict=True))
        rows.append(
            {
                "strategy": strategy,
                "way": way,
                "ms_per_problem": 1000 * statistics.median(spent) / n,
                "times_faster": statistics.median(faster),
                # One repeat says nothing of how far repeats lie apart.
                "times_faster_low": min(faster) if len(faster) > 1 else None,
                "times_faster_high": max(faster) if len(faster) > 1 else None,
                "same_answers": same / n,
            }
        )
    return rows
