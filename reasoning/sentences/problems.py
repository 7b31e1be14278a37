"""The problems of a task, divided for training and choosing; what is left judges."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from workbench.errors import TooLittleData
from workbench.methods.contracts import Context
from workbench.model.model import Model
from workbench.sampling.address import TaskAddress
from workbench.sampling.sentences import chain_sentences
from workbench.sampling.split import Part, in_part
from workbench.sampling.task import Problem, Task, open_task
from workbench.training.lines import Worked
from workbench.training.scratch import ScratchShape, scratch_model


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Problems to learn from, problems to choose by, and the latter as the task knows them."""

    task: Task
    train: Sequence[Worked]
    valid: Sequence[Worked]
    judged: Sequence[Problem]

    @property
    def lines(self) -> list[str]:
        """Questions and sentences to learn from, in order."""
        return [line for w in self.train for line in (w.question, *w.sentences)]

    def network(self, address: str, shape: ScratchShape, seed: int) -> Model:
        """Return a random network whose vocabulary is the words to learn from."""
        name = f"words of {address}"
        return scratch_model([*self.lines, "\n"], shape, seed=seed, name=name)


def draw(address: str, problems: int, held_out: int, context: Context) -> Drawn:
    """Draw the problems of a training run; those of the test part are never drawn.

    Raises:
        TooLittleData: none has steps.
    """
    task = open_task(address)
    judged = part_problems(address, "valid", held_out, context)
    return Drawn(
        task=task,
        train=worked(task, part_problems(address, "train", problems, context)),
        valid=worked(task, judged),
        judged=judged,
    )


def draw_apart(address: str, problems: int, kept: tuple[int, int], context: Context) -> Drawn:
    """Draw problems as `draw` does, those to choose by and those that judge apart.

    `kept` says how many of each.

    Raises:
        TooLittleData: none has steps, or too few are left to judge by.
    """
    task, (choose, judge) = open_task(address), kept
    apart = part_problems(address, "valid", choose + judge, context)
    if len(apart) <= choose:
        raise TooLittleData(
            f"{len(apart)} problems are kept from training; expected more than {choose}",
            hint="a task with more problems, or a smaller --held-out",
        )
    return Drawn(
        task=task,
        train=worked(task, part_problems(address, "train", problems, context)),
        valid=worked(task, apart[:choose]),
        judged=apart[choose:],
    )


def part_address(address: str, part: Part) -> str:
    """Return the address of one part of a task that divides itself.

    A task without such parts comes back as it is: a file is a part already.
    """
    asked = TaskAddress.parse(address)
    task: Any = open_task(address)
    divides = is_dataclass(task) and any(f.name == "part" for f in fields(task))
    if not divides or asked.path:
        return address
    place, _, query = address.partition("?")
    kept = [pair for pair in query.split("&") if pair and not pair.startswith("part=")]
    return f"{place}?{'&'.join([*kept, f'part={part}'])}"


def part_problems(address: str, part: Part, limit: int, context: Context) -> Sequence[Problem]:
    """Draw up to `limit` problems of one part; those of a file are divided by their question."""
    where = part_address(address, part)
    task, stream = open_task(where), context.stream(f"{part} problems")
    if where != address:
        return task.problems(limit, stream)
    found = [p for p in task.problems(10**6, stream) if in_part(p.question, part)]
    order = stream.permutation(len(found))[:limit]
    return [found[i] for i in order]


def worked(task: Task, problems: Sequence[Problem]) -> list[Worked]:
    """Return problems as questions and sentences; those without steps are left out.

    Raises:
        TooLittleData: none has steps.
    """
    found = [
        Worked(question=problem.question, sentences=chain_sentences(task, problem))
        for problem in problems
        if problem.steps
    ]
    if not found:
        raise TooLittleData(
            "no problem of the task has written steps to learn from",
            hint="blocksworld?blocks=4&brief=yes, prosqa, or a file with steps",
        )
    return found
