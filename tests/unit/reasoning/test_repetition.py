"""The hashed suffix index against a search through the whole text."""

import numpy as np
import pytest

from reasoning.repetition import SuffixIndex, diversity, ngram_counts, repeated_lengths


def brute_force(tokens: list[int], candidate: int, longest: int) -> int:
    """Look for every ending of the text with the candidate anywhere in the text."""
    ending = [*tokens, candidate]
    for length in range(min(longest, len(ending)), 0, -1):
        wanted = ending[-length:]
        if any(tokens[i : i + length] == wanted for i in range(len(tokens) - length + 1)):
            return length
    return 0


@pytest.mark.parametrize("strings", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_hashing_equals_brute_force_on_random_strings(strings: int) -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(strings):
        letters, longest = int(rng.integers(1, 6)), int(rng.integers(1, 7))
        tokens = rng.integers(0, letters, size=int(rng.integers(0, 25))).tolist()
        candidate = int(rng.integers(0, letters + 1))
        cut = int(rng.integers(0, len(tokens) + 1))
        index = SuffixIndex(tokens[:cut], longest=longest)
        index.extend(tokens[cut:])
        expected = brute_force(tokens, candidate, longest)
        assert index.repeated(candidate) == expected, (tokens, candidate, longest)
        seen.add(expected)
    assert seen == set(range(7))


def test_repeated_lengths_of_a_loop() -> None:
    assert repeated_lengths([1, 2, 3, 1, 2, 3, 1, 2, 3]) == [0, 0, 0, 1, 2, 3, 4, 5, 5]
    assert repeated_lengths([3, 1], after=[1, 2, 3]) == [1, 1]
    assert repeated_lengths([7, 7, 7], longest=2) == [0, 1, 2]


def test_ngram_counts() -> None:
    assert ngram_counts([1, 2, 1, 2, 1]) == ([2, 2, 2], [4, 3, 2])
    assert ngram_counts([5, 5, 5, 5]) == ([1, 1, 1], [3, 2, 1])
    assert ngram_counts([1, 2, 3]) == ([2, 1, 0], [2, 1, 0])


def test_diversity_is_a_product_of_ratios() -> None:
    different = np.array([[10.0, 10, 10], [5, 4, 8], [1, 1, 0]])
    every = np.array([[10.0, 10, 10], [10, 8, 8], [2, 1, 0]])
    np.testing.assert_allclose(diversity(different, every), [1, 0.25, np.nan])
