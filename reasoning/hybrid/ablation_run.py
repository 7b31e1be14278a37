"""One ablation with one seed: trained, evaluated on unseen problems, and kept in its folder."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from reasoning.hybrid.demonstrations import Demonstration, demonstrations, end_id
from reasoning.hybrid.learner import Learner, Setting
from reasoning.hybrid.presets import ABLATIONS, HybridPreset
from reasoning.hybrid.reinforce import Reinforcement, Reward, reinforce
from workbench.errors import TooLittleData
from workbench.latent.inputs import GATE_WIDTH
from workbench.latent.trained import RECIPE, hybrid_tensors
from workbench.methods.contracts import Context
from workbench.model.model import Model
from workbench.progress import Progress
from workbench.sampling.marked import is_marked_right
from workbench.sampling.prompting import stop_ids
from workbench.sampling.task import Problem, Task, open_task
from workbench.training.adapter import Adapter
from workbench.training.checkpoint import Checkpoint, Manifest, write_whole
from workbench.training.run import TrainingRun

JUDGED = "judged.json"


@dataclass(frozen=True, kw_only=True)
class HybridOptions:
    """What all ablations of a run share, as plain values that another process can be given.

    `reward` is `marked` (the marked answer is right and the mark occurs once) or `task` (the
    task's own verifier).
    """

    task: str
    preset: HybridPreset
    seed: int
    mark: str
    reward: Literal["marked", "task"] = "marked"
    beta: float = 0.005
    decay: float = 0.1
    clip: float = 0.1
    width: int = GATE_WIDTH
    minutes: float = 0.0
    half: bool = True

    def problems(self) -> tuple[Task, list[Problem], list[Problem]]:
        """Return the task, problems to learn from and others to evaluate on, alike for all.

        Raises:
            TooLittleData: the task has too few different problems.
        """
        task, preset = open_task(self.task), self.preset
        context = Context(seed=self.seed)
        judged = list(task.problems(preset.judged, context.stream("judged problems")))
        held = {problem.question for problem in judged}
        drawn = task.problems(preset.problems, context.stream("problems"))
        train = [problem for problem in drawn if problem.question not in held]
        if len(train) < preset.prompts:
            raise TooLittleData(
                f"{len(train)} problems are left to learn from; a step takes {preset.prompts}",
                hint="fewer judged problems, or a task with more problems",
            )
        return task, train, judged

    def rewards(self, task: Task) -> Reward:
        """Return how a response is rewarded: 1 or 0."""
        if self.reward == "task":
            return lambda problem, text: float(task.is_correct(problem, text))
        return lambda problem, text: float(is_marked_right(text, problem.answer, self.mark))

    def identity(self, *names: str) -> str:
        """Return a hash of everything that decides the numbers."""
        told = json.dumps([asdict(self), *names], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class AblationSeed:
    """One ablation with one seed, counted from 0."""

    ablation: str
    seed: int

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{self.ablation}-{self.seed}"


def run_ablation(
    one: AblationSeed,
    options: HybridOptions,
    models: tuple[Model, Checkpoint | None],
    place: tuple[Path, bool],
    progress: Progress,
) -> None:
    """Train, evaluate and keep one ablation; what is complete is left as it is.

    `models` are the base and the adapter that knows the format, `place` is the folder of all
    ablations and whether to resume.
    """
    base = models[0]
    folder, resume = place[0] / one.folder, place[1]
    seed = options.seed * 1000 + one.seed
    context = Context(seed=seed, progress=progress, scratch=folder, resume=resume)
    identity = options.identity(one.ablation, str(one.seed), base.spec.weights_hash)
    if resume and _is_complete(folder, identity):
        return
    task, train, judged = options.problems()
    learner = _learner(one, options, models, task, context)
    reward = options.rewards(task)
    how = Reinforcement(
        reward=reward, decay=options.decay, clip=options.clip, minutes=options.minutes
    )
    taught = demonstrations(base, task, train, options.mark)
    prompted = demonstrations(base, task, judged, options.mark)
    start = verdicts(learner, prompted, reward, gate_on=False)
    curve = reinforce(learner, taught, how, identity=identity, context=context)
    found = {
        "start": start,
        "right": verdicts(learner, prompted, reward, gate_on=True),
        "right_gate_off": verdicts(learner, prompted, reward, gate_on=False),
    }
    run = TrainingRun(
        model=base,
        preset=options.preset,
        manifest=_manifest(one, options, base, train, end_id(base, task)),
        context=context,
        half=options.half,
    )
    scores = {"steps": len(curve)} | {k: float(np.mean(v)) for k, v in found.items()}
    run.save(hybrid_tensors(learner.adapter, learner.gate), scores=scores)
    story = {"identity": identity, "curve": curve, "judged": found}
    write_whole(folder / JUDGED, json.dumps(story).encode())


def read_judged(folder: Path, one: AblationSeed) -> dict[str, Any]:
    """Return the curve of an ablation and its verdicts on every judged problem."""
    story: dict[str, Any] = json.loads((folder / one.folder / JUDGED).read_bytes())
    return story


def verdicts(
    learner: Learner, judged: list[Demonstration], reward: Reward, *, gate_on: bool
) -> list[float]:
    """Return the reward of the greedy answer to each problem."""
    texts = learner.answers(judged, gate_on=gate_on)
    return [reward(one.problem, text) for one, text in zip(judged, texts, strict=True)]


def _learner(
    one: AblationSeed,
    options: HybridOptions,
    models: tuple[Model, Checkpoint | None],
    task: Task,
    context: Context,
) -> Learner:
    base, start = models
    generator = context.torch_stream("fresh weights")
    adapter = Adapter(base, options.preset.lora, generator=generator, suffix=one.folder)
    reference = base
    if start is not None:
        adapter.load(start.tensors)
        reference = Adapter.restore(base, start).model
    setting = Setting(
        mark=options.mark,
        stop_ids=stop_ids(base, task),
        beta=options.beta,
        width=options.width,
    )
    rest = (ABLATIONS[one.ablation], options.preset, setting)
    return Learner(base, reference, adapter, rest, generator)


def _is_complete(folder: Path, identity: str) -> bool:
    path = folder / JUDGED
    return path.is_file() and json.loads(path.read_bytes())["identity"] == identity


def _manifest(
    one: AblationSeed, options: HybridOptions, base: Model, train: list[Problem], end: int
) -> Manifest:
    told = asdict(options) | {
        "arm": one.ablation,
        "end_ids": [end],
        "arm_seed": one.seed,
        "adapter": options.preset.lora.as_dict(),
        "temperature": options.preset.temperature,
    }
    return Manifest.of(
        RECIPE,
        base.spec,
        options=told,
        seed=options.seed,
        texts=(problem.question for problem in train),
        data=f"{len(train)} problems of {options.task}",
    )
