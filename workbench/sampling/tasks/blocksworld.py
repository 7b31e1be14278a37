"""Blocksworld planning problems: generated for any number of blocks, or read from a file."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np

from workbench.errors import DataError, TooLittleData
from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.blocks import (
    State,
    after,
    describe,
    name,
    parse_state,
    random_state,
    shortest_plan,
    simulate,
    written_moves,
)
from workbench.sampling.conventions import PLAN, Found, before_next_question
from workbench.sampling.grading import NumberGrader
from workbench.sampling.split import Part, in_part
from workbench.sampling.task import Problem
from workbench.sampling.tasks.steps_file import step_problems

_RULES = (
    "In the Blocksworld domain, blocks can be stacked on top of each other or placed on the table. "
    "Only one block can be moved at a time, and only clear (unblocked) blocks can be moved. Given "
    "the initial configuration and the goal configuration, what is the minimum number of moves "
    "required to reach the goal?"
)
_ASK = (
    'Write each move as "<<Move A from B to the table>>" on a line of its own, then finish with '
    '"The answer is" and the number of moves.'
)
_TRIES = 50_000


@register("task", "blocksworld", source="Hwang et al. 2025, arXiv:2505.22202")
@dataclass(frozen=True, kw_only=True)
class Blocksworld:
    """Move blocks from one arrangement to another in the fewest moves; the answer is their number.

    Without a file, pairs of states are drawn, with the plan that a search found. Drawn problems
    never hold one of the 40 states of the public seven-block files. `part` is a fixed division of
    all problems, so that what a network was trained on is never what it is judged on.
    """

    path: str = option("", help="JSON file with question, steps and answer.")
    blocks: int = option(4, help="Number of blocks.", low=2, high=12)
    least: int = option(1, help="Fewest moves of a drawn problem.", low=0, high=24)
    part: Part = option("all", help="Draw from the whole, or from the part for one purpose.")
    brief: bool = option(
        False, help="Ask with the states alone, in few words, for networks trained on it."
    )
    verify: Literal["answer", "plan"] = option(
        "answer", help="Accept the right number, or only a plan that works and is shortest."
    )

    is_chat = True
    answer_lead = "The answer is:"

    def problems(self, limit: int, generator: np.random.Generator) -> Sequence[Problem]:
        """Draw or read up to `limit` problems; a small world may hold fewer."""
        if self.path:
            return [self._read(p) for p in step_problems(self.path, limit)]
        found: list[Problem] = []
        seen: set[tuple[State, State]] = set()
        for _ in range(limit * 10 + _TRIES):
            if len(found) >= limit:
                break
            pair = random_state(self.blocks, generator), random_state(self.blocks, generator)
            if pair in seen:
                continue
            seen.add(pair)
            if self._wants(*pair) and (problem := self._problem(*pair)):
                found.append(problem)
        if not found:
            raise TooLittleData(
                f"no problem of {self.blocks} blocks needs {self.least} moves", hint="fewer moves"
            )
        return found

    def prompt(self, problem: Problem) -> str:
        """Return the question and, unless it is brief, the form the answer is wanted in."""
        return problem.question if self.brief else f"{problem.question} {_ASK}"

    def is_correct(self, problem: Problem, response: str) -> bool:
        """Whether the number is right, or the plan works in that many moves."""
        if self.verify == "answer":
            return NumberGrader().is_correct(response, problem.answer)
        plan = written_moves(before_next_question(response))
        start, goal = states_of(problem.question)
        return (
            plan is not None and len(plan) == int(problem.answer) and simulate(start, plan) == goal
        )

    def extract(self, response: str) -> str | None:
        """Return the number of moves: the one stated, or that of the written plan."""
        return self.find(response).answer

    def find(self, response: str) -> Found:
        """Return the number of moves with the convention it was read by."""
        if self.verify == "answer":
            return NumberGrader().find(response)
        own = before_next_question(response)
        plan = written_moves(own)
        return Found(
            answer=str(len(plan)) if plan else None,
            convention=PLAN,
            grader="simulator",
            is_closed=len(own) < len(response),
        )

    def sentences(self, problem: Problem) -> tuple[str, ...]:
        """Return the plan, one move a sentence, and the sentence with the answer."""
        return problem.steps

    def _wants(self, start: State, goal: State) -> bool:
        key = f"{_write(start, brief=False)} > {_write(goal, brief=False)}"
        public = {_digest(_write(s, brief=False)) for s in (start, goal)} & _public_states()
        return start != goal and not public and in_part(key, self.part)

    def _problem(self, start: State, goal: State) -> Problem | None:
        plan, state, steps = shortest_plan(start, goal), start, []
        if len(plan) < self.least:
            return None
        for move in plan:
            steps.append(describe(state, move))
            state = after(state, move)
        initial, wanted = (_write(s, brief=self.brief) for s in (start, goal))
        question = f"{_RULES} Initial state: {initial}. Goal state: {wanted}."
        if self.brief:
            question = f"{initial}; goal {wanted}"
        return Problem(
            id=f"blocks-{_digest(question)}",
            question=question,
            answer=str(len(plan)),
            steps=(*steps, f"The answer is: {len(plan)}"),
            fields={"group": initial},
        )

    def _read(self, problem: Problem) -> Problem:
        start, _ = states_of(problem.question)
        group = _write(start, brief=False)
        return Problem(
            id=problem.id,
            question=problem.question,
            answer=problem.answer,
            steps=problem.steps,
            fields={**problem.fields, "group": group},
        )


def states_of(question: str) -> tuple[State, State]:
    """Return the initial and the goal state that a question describes.

    Raises:
        DataError: the question holds no two states.
    """
    parts = re.split(r"[Gg]oal(?: state)?[: ]", question.rsplit("Initial state:", 1)[-1])
    if len(parts) != 2:
        raise DataError(f"{question[:80]!r} does not describe an initial and a goal state")
    return parse_state(parts[0]), parse_state(parts[1])


def _write(state: State, *, brief: bool) -> str:
    table, is_on = ("table", "on") if brief else ("the table", "is on")
    places = (table if under < 0 else name(under) for under in state)
    return ", ".join(f"{name(i)} {is_on} {place}" for i, place in enumerate(places))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _public_states() -> frozenset[str]:
    text = (files("workbench.data") / "blocksworld_public_states.txt").read_text()
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))
