"""Prompts that begin alike as one row: a branch wherever they part."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.model.masks import Parallel, Piece, size

_WIDTH = 384
"""Columns of a row; attention grows with their square."""
Prompt = tuple[Piece, ...]


@dataclass(frozen=True, kw_only=True)
class PromptTree:
    """Prompts in one row: `columns[i]` are those of the pieces of prompt `numbers[i]`.

    A block of parts has the column of its last token. Each prompt sees itself alone, at the
    positions that it has by itself.
    """

    numbers: tuple[int, ...]
    pieces: Prompt
    columns: tuple[tuple[int, ...], ...]


def prompt_trees(prompts: Sequence[Prompt], *, together: bool = True) -> Iterator[PromptTree]:
    """Yield rows that hold all prompts; neighbours that share a third of their tokens share a row.

    Unless they are `together` each has a row of its own.
    """
    numbers: list[int] = []
    width = 0
    for i, prompt in enumerate(prompts):
        shared = size(prompt[: _n_same(prompts[i - 1], prompt)]) if numbers else 0
        whole = size(prompt)
        if numbers and (
            not together or 3 * shared < whole or width + whole - shared > max(_WIDTH, whole)
        ):
            yield _tree(prompts, numbers)
            numbers, width, shared = [], 0, 0
        numbers.append(i)
        width += whole - shared
    if numbers:
        yield _tree(prompts, numbers)


def _n_same(one: Prompt, other: Prompt) -> int:
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _tree(prompts: Sequence[Prompt], numbers: Sequence[int]) -> PromptTree:
    columns: dict[int, list[int]] = {i: [] for i in numbers}
    pieces, _ = _grow(prompts, numbers, 0, columns)
    own = tuple(tuple(columns[i]) for i in numbers)
    return PromptTree(numbers=tuple(numbers), pieces=pieces, columns=own)


def _grow(
    prompts: Sequence[Prompt], numbers: Sequence[int], column: int, columns: dict[int, list[int]]
) -> tuple[Prompt, int]:
    """Write prompts that have been alike so far from a column on; return where they end."""
    pieces: list[Piece] = []
    while True:
        heads: dict[Piece, list[int]] = {}
        for i in numbers:
            if (depth := len(columns[i])) < len(prompts[i]):
                heads.setdefault(prompts[i][depth], []).append(i)
        if len(heads) != 1:
            break
        ((piece, numbers),) = heads.items()
        column += size([piece])
        for i in numbers:
            columns[i].append(column - 1)
        pieces.append(piece)
    branches = []
    for group in heads.values():
        branch, column = _grow(prompts, group, column, columns)
        branches.append(branch)
    if branches:
        pieces.append(Parallel(branches=tuple(branches)))
    return tuple(pieces), column
