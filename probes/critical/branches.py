"""What a response could have said instead: the tokens drawn at each place, and where they led."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from probes.critical.rollouts import GradedRollouts, Outcome
from workbench.model.model import Model
from workbench.result.tables import Table, columns_from
from workbench.sampling.branch import Branch

Drawn = Literal["sampled", "sampled otherwise", "token forbidden"]
COLUMNS = columns_from("""
    trajectory: Number of the trajectory.
    position (tokens): Place in the response, counted from 1.
    drawn: sampled: by the policy; sampled otherwise: by the policy without the response's
        token; token forbidden: at temperature 1 from all other tokens.
    alternative: The token drawn at this place.
    is_own: Whether it is the response's own token.
    probability (probability): Of this token under the sampling policy.
    wins (draws): Continuations that end right.
    draws (draws): Continuations that begin with this token.
    right: One continuation that ends right.
    wrong: One continuation that ends wrong.
""")


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """One token drawn at one place of the response, and the continuations that begin with it."""

    position: int
    drawn: Drawn
    token: int
    is_own: bool
    probability: float
    wins: int
    draws: int
    right: tuple[int, ...]
    wrong: tuple[int, ...]


def alternatives(rollouts: GradedRollouts) -> tuple[Alternative, ...]:
    """Group every continuation that was used by its place and its first token."""
    found: dict[tuple[int, Drawn, int], list[Outcome]] = defaultdict(list)
    for branch in sorted(rollouts.used, key=_order):
        outcome = rollouts.journal.outcomes.get(branch)
        if outcome is not None and outcome.tokens:
            found[branch.position, _drawn(branch), outcome.tokens[0]].append(outcome)
    places = sorted({position for position, _, _ in found})
    p = rollouts.trajectory.distribution(places) if places else None
    response = rollouts.trajectory.response
    rows = [
        Alternative(
            position=place + 1,
            drawn=drawn,
            token=token,
            is_own=place < len(response) and token == response[place],
            probability=0.0 if p is None else float(p[places.index(place), token]),
            wins=sum(outcome.success for outcome in outcomes),
            draws=len(outcomes),
            right=next((o.tokens for o in outcomes if o.success), ()),
            wrong=next((o.tokens for o in outcomes if not o.success), ()),
        )
        for (place, drawn, token), outcomes in found.items()
    ]
    return tuple(sorted(rows, key=lambda a: (a.position, a.drawn, -a.draws, a.token)))


def branch_table(found: Sequence[tuple[Alternative, ...]], model: Model) -> Table:
    """Return one row per trajectory, place and alternative token, most drawn first."""
    return Table.from_rows(_rows(found, model), COLUMNS)


def _rows(found: Sequence[tuple[Alternative, ...]], model: Model) -> Iterator[dict[str, Any]]:
    for index, several in enumerate(found):
        for one in several:
            yield {
                "trajectory": index,
                "position": one.position,
                "drawn": one.drawn,
                "alternative": model.decode([one.token]),
                "is_own": one.is_own,
                "probability": one.probability,
                "wins": one.wins,
                "draws": one.draws,
                "right": _text(one.right, model),
                "wrong": _text(one.wrong, model),
            }


def _text(tokens: Sequence[int], model: Model) -> str:
    return str(model.tokenizer.decode(list(tokens), skip_special_tokens=True))


def _drawn(branch: Branch) -> Drawn:
    if branch.banned is None:
        return "sampled"
    return "token forbidden" if branch.full else "sampled otherwise"


def _order(branch: Branch) -> tuple[int, bool, bool, int]:
    return branch.position, branch.banned is not None, branch.full, branch.draw
