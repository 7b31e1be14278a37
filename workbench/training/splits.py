"""What a recipe learns from, chooses by and is evaluated on, apart from each other."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.sampling.address import TaskAddress
from workbench.sampling.sentences import chain_sentences
from workbench.sampling.split import Part, in_part
from workbench.sampling.task import Problem, Task, open_task
from workbench.training.adapter import LoraShape
from workbench.training.lines import Worked
from workbench.training.scratch import ScratchShape, scratch_model


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Problems to learn from, problems to choose weights by, and problems to evaluate on.

    `address` is that of their task.
    """

    address: str
    task: Task
    train: Sequence[Worked]
    valid: Sequence[Worked]
    evaluated: Sequence[Problem]

    @property
    def lines(self) -> list[str]:
        """Questions and sentences to learn from, in order."""
        return [line for w in self.train for line in (w.question, *w.sentences)]

    @property
    def data(self) -> str:
        """What is learned from, in words."""
        return f"{len(self.train)} problems of {self.address}"

    def told(self, lora: LoraShape | None) -> dict[str, Any]:
        """Return what a manifest tells of them, and of the adapters that learn from them."""
        adapter = lora.as_dict() if lora else None
        return {"texts": self.lines, "data": self.data, "adapter": adapter}

    def network(self, shape: ScratchShape, seed: int) -> Model:
        """Return a random network whose vocabulary is the words to learn from."""
        name = f"words of {self.address}"
        return scratch_model([*self.lines, "\n"], shape, seed=seed, name=name)


def draw_splits(
    address: str, problems: int, held_out: int, context: Context, *, evaluated: int = 0
) -> Splits:
    """Draw the problems of a training run; those of the test part are never drawn.

    `evaluated` problems are drawn beside those to choose by; without any, the latter are
    evaluated on too.

    Raises:
        TooLittleData: none has steps, or too few are left to evaluate on.
    """
    task = open_task(address)
    apart = part_problems(address, "valid", held_out + evaluated, context)
    if evaluated and len(apart) <= held_out:
        raise TooLittleData(
            f"{len(apart)} problems are kept from training; expected more than {held_out}",
            hint="a task with more problems, or a smaller --held-out",
        )
    return Splits(
        address=address,
        task=task,
        train=worked(task, part_problems(address, "train", problems, context)),
        valid=worked(task, apart[:held_out]),
        evaluated=apart[held_out:] if evaluated else apart,
    )


def hold_out(
    n: int, share: float, generator: np.random.Generator, *, most: int | None = None
) -> tuple[list[int], list[int]]:
    """Divide n rows at random into those to train on and a share held out.

    At least one row is held out if that leaves one, and no more than `most`.
    """
    order = [int(i) for i in generator.permutation(n)]
    held = max(0, min(n - 1, max(1, round(share * n)), n if most is None else most))
    return order[held:], order[:held]


def part_address(address: str, part: Part) -> str:
    """Return the address of one part of a task that divides itself.

    A task without such parts comes back as it is: a file is a part already.
    """
    parsed = TaskAddress.parse(address)
    task: Any = open_task(address)
    divides = is_dataclass(task) and any(f.name == "part" for f in fields(task))
    if not divides or parsed.path:
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


def held_out_rows(
    model: Model,
    examples: Sequence[Example],
    *,
    length: int,
    share: float,
    most: int,
    draw: np.random.Generator,
) -> list[list[Sequence[int]]]:
    """Return the tokens of texts to learn from and of texts held out, each text cut to a length.

    Raises:
        TooLittleData: fewer than two texts.
    """
    if len(examples) < 2:
        raise TooLittleData(
            f"{len(examples)} texts; expected at least two", hint="give --data FILE"
        )
    rows = [model.tokenize(e.text, limit=length).row(0) for e in examples]
    return [[rows[i] for i in part] for part in hold_out(len(rows), share, draw, most=most)]
