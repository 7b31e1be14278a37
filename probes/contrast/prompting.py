"""Responses drawn to many questions, graded, and kept so that a stopped run goes on."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from probes.contrast.presets import ContrastPreset
from probes.contrast.recipe import ContrastRecipe
from probes.contrast.selection import Response
from probes.contrast.sequences import shared_prefill
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import GREEDY, Sampling
from workbench.progress import Progress, silent
from workbench.sampling.prompting import prompt_ids, stop_ids
from workbench.sampling.task import Problem, Task


@dataclass(frozen=True, kw_only=True)
class SamplingPlan:
    """How responses are sampled: draws of each question, the policy, the limit and the batch.

    Every draw has a generator of its own, named by seed, question and number.
    """

    samples: int = 1
    policy: Sampling = field(default_factory=lambda: GREEDY)
    limit: int = 32
    rows: int = 64
    seed: int = 0

    def seeds(self, problem: Problem) -> list[int]:
        """Return the seed of each draw of a question."""
        names = (f"{self.seed}/{problem.id}/{k}" for k in range(self.samples))
        return [int.from_bytes(hashlib.sha256(n.encode()).digest()[:8], "big") >> 1 for n in names]


def sampling_plan(recipe: ContrastRecipe, preset: ContrastPreset, seed: int) -> SamplingPlan:
    """Return how a recipe draws responses; the same options give the same responses."""
    return SamplingPlan(
        samples=preset.samples,
        policy=Sampling(temperature=recipe.temperature, top_p=recipe.top_p),
        limit=recipe.new_tokens,
        rows=preset.at_once,
        seed=seed,
    )


def sample_responses(  # noqa: PLR0913 - of which model to what, how, and where they are kept
    model: Model,
    task: Task,
    problems: Sequence[Problem],
    plan: SamplingPlan,
    *,
    path: Path,
    progress: Progress = silent,
    words: str = "questions",
) -> list[list[Response]]:
    """Return the graded responses to every problem, in order.

    What `path` already holds of the same questions and settings is not drawn again.
    """
    # The name of the class is kept: responses drawn under it are not drawn again.
    named = str(plan).replace("SamplingPlan", "Asked", 1)
    identity = f"{model.spec.weights_hash} {named} {type(task).__name__} {task}"
    kept = _read(path, identity)
    waiting = [p for p in problems if p.id not in kept]
    at_once = max(1, plan.rows // plan.samples)
    for start in range(0, len(waiting), at_once):
        progress(len(problems) - len(waiting) + start, len(problems), words)
        some = waiting[start : start + at_once]
        for problem, responses in zip(some, _draw(model, task, some, plan), strict=True):
            kept[problem.id] = responses
            _write(path, identity, problem.id, responses)
    progress(len(problems), len(problems), words)
    return [kept[p.id] for p in problems]


def _draw(
    model: Model, task: Task, problems: Sequence[Problem], plan: SamplingPlan
) -> Iterator[list[Response]]:
    stop = stop_ids(model, task)
    prefix = shared_prefill(model, [prompt_ids(model, task, p) for p in problems])
    rows = [i for i in range(len(problems)) for _ in range(plan.samples)]
    options = GenerationOptions(
        seeds=[seed for p in problems for seed in plan.seeds(p)], stop_ids=stop
    )
    trace = model.generate(prefix.take(rows), policy=plan.policy, limit=plan.limit, options=options)
    for i, problem in enumerate(problems):
        mine = trace.generated[i * plan.samples : (i + 1) * plan.samples]
        yield [_graded(model, task, problem, tuple(int(t) for t in ids)) for ids in mine]


def _graded(model: Model, task: Task, problem: Problem, ids: tuple[int, ...]) -> Response:
    text = str(model.tokenizer.decode(list(ids), skip_special_tokens=True))
    return Response(tokens=ids, answer=task.extract(text), correct=task.is_correct(problem, text))


def _write(path: Path, identity: str, name: str, responses: Sequence[Response]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    line = {"identity": identity, "id": name, "responses": [asdict(r) for r in responses]}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _read(path: Path, identity: str) -> dict[str, list[Response]]:
    if not path.is_file():
        return {}
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:  # a line cut short by a crash
            continue
        if row["identity"] == identity:
            found[row["id"]] = [
                Response(tokens=tuple(r["tokens"]), answer=r["answer"], correct=r["correct"])
                for r in row["responses"]
            ]
    return found
