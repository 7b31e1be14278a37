"""The Blocksworld: states, legal moves, a plan simulator and shortest plans."""

import heapq
import re
from collections.abc import Iterator, Sequence

import numpy as np

from workbench.errors import DataError

TABLE = -1
State = tuple[int, ...]
Move = tuple[int, int]

_PLACE = re.compile(r"\b([A-Z]) (?:is )?on (?:the )?(table|[A-Z]\b)")
_MOVE = re.compile(r"\bMove ([A-Z]) from (?:the )?(table|[A-Z]\b) to (?:the )?(table|[A-Z]\b)")


def name(block: int) -> str:
    """Return the letter of a block."""
    return chr(ord("A") + block)


def parse_state(text: str) -> State:
    """Read `A is on the table, B is on A`; entry i is what lies under block i.

    Raises:
        DataError: a block has no place, two, or one on itself.
    """
    found = [(ord(block) - ord("A"), _index(under)) for block, under in _PLACE.findall(text)]
    state = tuple(under for _, under in sorted(found))
    if [block for block, _ in sorted(found)] != list(range(len(found))) or not is_state(state):
        raise DataError(f"{text!r} is no state of the Blocksworld", hint="A is on the table, …")
    return state


def is_state(state: State) -> bool:
    """Whether every block stands on the table in the end and carries at most one other."""
    carried = [under for under in state if under != TABLE]
    if not state or len(set(carried)) < len(carried) or any(u >= len(state) for u in carried):
        return False
    return all(len(_tower(state, block)) <= len(state) for block in range(len(state)))


def clear(state: State) -> list[int]:
    """Return the blocks that carry none."""
    carrying = set(state)
    return [block for block in range(len(state)) if block not in carrying]


def moves(state: State) -> Iterator[Move]:
    """Yield every legal move as (block, what it is put on)."""
    free = clear(state)
    for block in free:
        for under in (TABLE, *free):
            if under not in (block, state[block]):
                yield block, under


def after(state: State, move: Move) -> State:
    """Return the state after a move."""
    block, under = move
    return (*state[:block], under, *state[block + 1 :])


def simulate(state: State, sentences: Sequence[str]) -> State | None:
    """Carry out the moves written in sentences; None at the first that is not legal."""
    for sentence in sentences:
        for block, source, target in _MOVE.findall(sentence):
            move = (ord(block) - ord("A"), _index(target))
            if move not in set(moves(state)) or state[move[0]] != _index(source):
                return None
            state = after(state, move)
    return state


def written_moves(text: str) -> list[str] | None:
    """Return the moves a text writes, one by one; None where one of them cannot be read."""
    found = [move[0] for move in _MOVE.finditer(text)]
    return found if len(found) == len(re.findall(r"\bMove\b", text)) else None


def shortest_plan(start: State, goal: State) -> list[Move]:
    """Return a plan of the fewest moves, the same one every time.

    A* with the number of blocks that do not stand as they should down to the table, each of
    which must move at least once.
    """
    queue: list[tuple[int, int, State]] = [(_misplaced(start, goal), 0, start)]
    came: dict[State, tuple[State, Move] | None] = {start: None}
    cost = {start: 0}
    while queue:
        _, so_far, state = heapq.heappop(queue)
        if state == goal:
            return _path(came, state)
        if so_far > cost[state]:
            continue
        for move in moves(state):
            reached = after(state, move)
            if so_far + 1 < cost.get(reached, len(start) * 3):
                cost[reached], came[reached] = so_far + 1, (state, move)
                rank = so_far + 1 + _misplaced(reached, goal)
                heapq.heappush(queue, (rank, so_far + 1, reached))
    raise DataError("the two states have different blocks")


def describe(state: State, move: Move) -> str:
    """Write a move in the words of the public files."""
    block, under = move
    return f"<<Move {name(block)} from {_words(state[block])} to {_words(under)}>>"


def random_state(n: int, generator: np.random.Generator) -> State:
    """Draw a state: blocks in random order, each onto the table or a clear block."""
    state, placed = [TABLE] * n, list[int]()
    for block in generator.permutation(n):
        free = [b for b in placed if b not in {state[p] for p in placed}]
        state[block] = int(generator.choice([TABLE, *free]))
        placed.append(int(block))
    return tuple(state)


def _index(word: str) -> int:
    return TABLE if word == "table" else ord(word) - ord("A")


def _words(under: int) -> str:
    return "the table" if under == TABLE else name(under)


def _tower(state: State, block: int) -> list[int]:
    """Return the block and what lies under it, cut off where it would go in circles."""
    found = [block]
    while state[found[-1]] != TABLE and len(found) <= len(state):
        found.append(state[found[-1]])
    return found


def _misplaced(state: State, goal: State) -> int:
    """Count the blocks that do not lie as in `goal` all the way down to the table."""
    count = 0
    for block in range(len(state)):
        at = block
        while at != TABLE and state[at] == goal[at]:
            at = state[at]
        count += at != TABLE
    return count


def _path(came: dict[State, tuple[State, Move] | None], state: State) -> list[Move]:
    plan: list[Move] = []
    while (step := came[state]) is not None:
        state, move = step
        plan.append(move)
    return plan[::-1]
