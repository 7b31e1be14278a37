"""Cross-validation folds and shuffled labels that respect groups."""

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from workbench.errors import TooLittleData

Labels = NDArray[np.generic]


def folds(
    y: Labels, groups: Labels, *, n_folds: int, generator: np.random.Generator
) -> Int[np.ndarray, " n"]:
    """Return the fold of every example: groups stay whole, labels are spread evenly.

    Numbers are spread by rank: groups are sorted by their mean label and dealt out in blocks.

    Raises:
        TooLittleData: fewer groups than folds, or a class in fewer groups than folds.
    """
    problems = fold_problems(y, groups, n_folds=n_folds)
    if problems:
        raise TooLittleData("; ".join(problems), hint="use fewer folds or more data")
    if np.issubdtype(y.dtype, np.floating):
        return _by_rank(y.astype(np.float64), groups, n_folds, generator)
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    alone = len(np.unique(groups)) == len(groups)
    splitter = (StratifiedKFold if alone else StratifiedGroupKFold)(
        n_splits=n_folds, shuffle=True, random_state=int(generator.integers(2**31))
    )
    found = np.zeros(len(y), dtype=np.int64)
    for fold, (_, held_out) in enumerate(splitter.split(y, y, None if alone else groups)):
        found[held_out] = fold
    return found


def fold_problems(y: Labels, groups: Labels, *, n_folds: int) -> list[str]:
    """Say what keeps the data from being split, or nothing when it can be."""
    n_groups = len(np.unique(groups))
    if n_groups < n_folds:
        return [f"{n_groups} groups cannot be split into {n_folds} folds"]
    if np.issubdtype(y.dtype, np.floating):
        return []
    problems = []
    for name in np.unique(y):
        mine = y == name
        held = len(np.unique(groups[mine]))
        if held < n_folds:
            problems.append(
                f"class {str(name)!r} has {int(mine.sum())} examples in {held} groups; expected "
                f"at least {n_folds} groups for {n_folds} folds"
            )
    return problems


def shuffled(
    y: Labels, groups: Labels, fold: Int[np.ndarray, " n"], *, generator: np.random.Generator
) -> Labels:
    """Return the labels dealt out again at random within each fold, in whole groups.

    The groups of a fold are put in random order and their labels, kept in sequence, are handed
    to its examples in the old order. Every fold keeps its classes; labels that went together in
    a group stay together; without groups this is a plain permutation within folds.
    """
    new = y.copy()
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        rows = rows[np.argsort(groups[rows], kind="stable")]
        _, first = np.unique(groups[rows], return_index=True)
        order = generator.permutation(len(first))
        if len(first) == len(rows):  # every example is a group of its own
            new[rows] = y[rows[order]]
            continue
        runs = np.split(rows, first[1:])
        new[rows] = y[np.concatenate([runs[i] for i in order])]
    return new


def _by_rank(
    y: NDArray[np.float64],
    groups: Labels,
    n_folds: int,
    generator: np.random.Generator,
) -> Int[np.ndarray, " n"]:
    _, index = np.unique(groups, return_inverse=True)
    means = np.bincount(index, weights=y) / np.bincount(index)
    order = np.lexsort((generator.random(len(means)), means))
    fold_of_group = np.empty(len(means), dtype=np.int64)
    for start in range(0, len(order), n_folds):
        block = order[start : start + n_folds]
        fold_of_group[block] = generator.permutation(n_folds)[: len(block)]
    return fold_of_group[index]
