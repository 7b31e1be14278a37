"""One arm with one seed: trained, judged on problems it has not seen, and kept in its folder."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from reasoning.hybrid.learner import Learner, Setting
from reasoning.hybrid.lessons import Lesson, end_id, lessons
from reasoning.hybrid.reinforce import Reinforcement, Reward, reinforce
from reasoning.hybrid.sizes import ARMS, Sizes
from workbench.errors import TooLittleData
from workbench.latent.inputs import GATE_WIDTH
from workbench.latent.trained import RECIPE, hybrid_tensors
from workbench.methods.contracts import Context
from workbench.model.model import Model
from workbench.progress import Progress
from workbench.sampling.asking import stop_ids
from workbench.sampling.marked import is_marked_right
from workbench.sampling.task import Problem, Task, open_task
from workbench.training.adapter import Adapter
from workbench.training.checkpoint import Checkpoint, Manifest, hardware, texts_hash, write_whole

JUDGED = "judged.json"


@dataclass(frozen=True, kw_only=True)
class Training:
    """What all arms of a run share, as plain values that another process can be given.

    `reward` is `marked` (the marked answer is right and the mark occurs once) or `task` (the
    task's own verifier).
    """

    task: str
    sizes: Sizes
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
        """Return the task, problems to learn from and others to judge by, the same for all arms.

        Raises:
            TooLittleData: the task has too few different problems.
        """
        task, sizes = open_task(self.task), self.sizes
        context = Context(seed=self.seed)
        judged = list(task.problems(sizes.judged, context.stream("judged problems")))
        held = {problem.question for problem in judged}
        drawn = task.problems(sizes.problems, context.stream("problems"))
        train = [problem for problem in drawn if problem.question not in held]
        if len(train) < sizes.prompts:
            raise TooLittleData(
                f"{len(train)} problems are left to learn from; a step takes {sizes.prompts}",
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
class ArmSeed:
    """One arm with one seed, counted from 0."""

    arm: str
    seed: int

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{self.arm}-{self.seed}"


def run_arm(
    one: ArmSeed,
    training: Training,
    models: tuple[Model, Checkpoint | None],
    place: tuple[Path, bool],
    progress: Progress,
) -> None:
    """Train, judge and keep one arm; what is complete is left as it is.

    `models` are the base and the adapter that knows the format, `place` is the folder of all
    arms and whether to resume.
    """
    base = models[0]
    folder, resume = place[0] / one.folder, place[1]
    context = Context(seed=training.seed * 1000 + one.seed, progress=progress)
    identity = training.identity(one.arm, str(one.seed), base.spec.weights_hash)
    if resume and _is_complete(folder, identity):
        return
    task, train, judged = training.problems()
    learner = _learner(one, training, models, task, context)
    reward = training.rewards(task)
    how = Reinforcement(
        reward=reward, decay=training.decay, clip=training.clip, minutes=training.minutes
    )
    taught = lessons(base, task, train, training.mark)
    asked = lessons(base, task, judged, training.mark)
    start = verdicts(learner, asked, reward, gate_on=False)
    curve = reinforce(learner, taught, how, place=(folder, identity, resume), context=context)
    found = {
        "start": start,
        "right": verdicts(learner, asked, reward, gate_on=True),
        "right_gate_off": verdicts(learner, asked, reward, gate_on=False),
    }
    manifest = _manifest(one, training, base, train, end_id(base, task))
    told = {"steps": len(curve)} | {k: float(np.mean(v)) for k, v in found.items()}
    manifest = Manifest(**{**vars(manifest), "scores": told})
    dtype = torch.float16 if training.half else torch.float32
    tensors = hybrid_tensors(learner.adapter, learner.gate)
    Checkpoint(manifest=manifest, tensors=tensors).save(folder, dtype=dtype)
    story = {"identity": identity, "curve": curve, "judged": found}
    write_whole(folder / JUDGED, json.dumps(story).encode())


def read_judged(folder: Path, one: ArmSeed) -> dict[str, Any]:
    """Return the curve of an arm and its verdicts on every judged problem."""
    story: dict[str, Any] = json.loads((folder / one.folder / JUDGED).read_bytes())
    return story


def verdicts(
    learner: Learner, judged: list[Lesson], reward: Reward, *, gate_on: bool
) -> list[float]:
    """Return the reward of the greedy answer to each problem."""
    texts = learner.answers(judged, gate_on=gate_on)
    return [reward(one.problem, text) for one, text in zip(judged, texts, strict=True)]


def _learner(
    one: ArmSeed,
    training: Training,
    models: tuple[Model, Checkpoint | None],
    task: Task,
    context: Context,
) -> Learner:
    base, start = models
    generator = context.torch_stream("fresh weights")
    adapter = Adapter(base, training.sizes.lora, generator=generator, suffix=one.folder)
    reference = base
    if start is not None:
        adapter.load(start.tensors)
        reference = Adapter.restore(base, start).model
    setting = Setting(
        mark=training.mark,
        stop_ids=stop_ids(base, task),
        beta=training.beta,
        width=training.width,
    )
    rest = (ARMS[one.arm], training.sizes, setting)
    return Learner(base, reference, adapter, rest, generator)


def _is_complete(folder: Path, identity: str) -> bool:
    path = folder / JUDGED
    return path.is_file() and json.loads(path.read_bytes())["identity"] == identity


def _manifest(
    one: ArmSeed, training: Training, base: Model, train: list[Problem], end: int
) -> Manifest:
    options = asdict(training)
    options |= {
        "arm": one.arm,
        "end_ids": [end],
        "arm_seed": one.seed,
        "adapter": training.sizes.lora.as_dict(),
        "temperature": training.sizes.temperature,
    }
    return Manifest(
        recipe=RECIPE,
        options=options,
        base_model=base.spec.name,
        base_hash=base.spec.weights_hash,
        seed=training.seed,
        data_hash=texts_hash(problem.question for problem in train),
        data=f"{len(train)} problems of {training.task}",
        hardware=hardware(),
    )
