"""Which sampled responses train which model."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_COVER = 0.5


@dataclass(frozen=True, kw_only=True)
class Response:
    """One sampled response: tokens with the stop id, its final answer, whether it is right."""

    tokens: tuple[int, ...]
    answer: str | None
    correct: bool


def positive(responses: Sequence[Response], generator: np.random.Generator) -> Response | None:
    """Return one of the correct responses at random, None without any.

    Source: Lin et al. 2025, section 2.
    """
    right = [r for r in responses if r.correct]
    return right[int(generator.integers(len(right)))] if right else None


def negatives(responses: Sequence[Response], generator: np.random.Generator) -> list[Response]:
    """Return one response for each of the frequent wrong answers.

    Wrong final answers are ranked by frequency and taken until they cover half of the wrong
    responses; one that was given once is taken only if nothing has been taken yet. Responses
    without a final answer have none to rank and are left out.

    Source: Lin et al. 2025, section 2.
    """
    groups = ranked_wrong(responses)
    total = sum(len(group) for group in groups)
    chosen: list[Response] = []
    covered = 0
    for group in groups:
        if covered >= _COVER * total or (len(group) == 1 and chosen):
            break
        chosen.append(group[int(generator.integers(len(group)))])
        covered += len(group)
    return chosen


def pair(
    responses: Sequence[Response], generator: np.random.Generator
) -> tuple[Response, Response] | None:
    """Return a random correct response and a random one with the most frequent wrong answer.

    Source: Lin et al. 2025, section 3.
    """
    chosen, groups = positive(responses, generator), ranked_wrong(responses)
    if chosen is None or not groups:
        return None
    return chosen, groups[0][int(generator.integers(len(groups[0])))]


def ranked_wrong(responses: Sequence[Response]) -> list[list[Response]]:
    """Group wrong responses by final answer, the most frequent first, ties in order of draw."""
    groups: dict[str, list[Response]] = defaultdict(list)
    for response in responses:
        if not response.correct and response.answer is not None:
            groups[response.answer].append(response)
    return sorted(groups.values(), key=lambda group: -len(group))
