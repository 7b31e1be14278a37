"""Prompts in one row: what is shared, and where each prompt stands."""

from workbench.model.masks import Parallel
from workbench.model.prompt_tree import prompt_trees

PART = Parallel(branches=((7,), (8, 9)))


def test_what_prompts_share_stands_once_and_each_finds_its_columns():
    prompts = [(1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 3), (1, 2, PART, 6), (1, 2, PART)]
    (tree,) = prompt_trees(prompts)
    part = ((PART, 6),)
    assert tree.pieces == (1, 2, Parallel(branches=((3, Parallel(branches=((4,), (5,)))), *part)))
    assert tree.columns == ((0, 1, 2, 3), (0, 1, 2, 4), (0, 1, 2), (0, 1, 7, 8), (0, 1, 7))


def test_strangers_and_those_beyond_the_width_stand_in_rows_of_their_own():
    strangers = [(1, 2, 3, 4), (1, 9, 9, 9), (5,)]
    assert [tree.numbers for tree in prompt_trees(strangers)] == [(0,), (1,), (2,)]
    alike = [(*range(200), i, *range(100)) for i in range(3)]
    assert [tree.numbers for tree in prompt_trees(alike)] == [(0,), (1,), (2,)]
    assert [len(tree.pieces) for tree in prompt_trees(alike, together=False)] == [301] * 3
