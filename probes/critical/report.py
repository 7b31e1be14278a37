"""Tables, estimates and charts of examined trajectories."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from probes.critical.branches import Alternative, branch_table
from probes.critical.forbidden import pass_estimates, pass_table
from probes.critical.rules import Decision
from probes.critical.sample import WrongAnswer
from probes.critical.search import Forced, Mode, Search
from workbench.model.model import Model
from workbench.result.estimate import Estimate
from workbench.result.intervals import proportion_estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table, columns_from
from workbench.result.views import Bars, Curve, TokenStrip, View

_P = Column("probability", "Success after this token.", low="p_low", high="p_high")
TOKENS = columns_from("""
    trajectory: Number of the trajectory.
    position (tokens): Response tokens up to and including this one.
    token: The token as text.
    id: The token's id.
    draws (draws): Continuations drawn here.
    wins (draws): Continuations that end right.
    q (probability): Probability of this token under the sampling policy.
    entropy (nats): Entropy of the model's distribution of this token.
    effect (probability): Success before minus success after this token.
    critical: Whether this is the critical token.
    badge: critical; fallback: only the first condition holds; hopeless: nothing succeeds.
""") | {"p": _P}
_TRAJECTORIES = columns_from("""
    success (proportion): Right answers among the drawn responses.
    critical_position (tokens): Position of the critical token; empty if none.
    fallback: Only the first condition holds: a later position revives.
    hopeless: No continuation from any examined position is right.
    draws (draws): Continuations used for the decision.
    exhaustive (draws): What every position with all draws would take.
    new_tokens (tokens): Tokens generated, forced alternatives included.
    seconds (s): Wall time.
""")


_VIEWS: tuple[View, ...] = (
    TokenStrip(
        "Success after each token",
        "tokens",
        token="token",
        color="p",
        rows=("q", "entropy", "effect", "draws"),
        group="trajectory",
        flag="critical",
        badge="badge",
        details="branches",
        key="position",
    ),
    Curve("Success along the response", "tokens", x="position", y=("p",), group="trajectory"),
    Bars(
        "Draws spent, beside all draws everywhere",
        "trajectories",
        x="trajectory",
        y="draws",
        control="exhaustive",
    ),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrajectoryResult:
    """One examined trajectory."""

    answer: WrongAnswer
    extracted: str | None
    search: Search
    forced: tuple[Forced, ...]
    branches: tuple[Alternative, ...]
    new_tokens: int
    seconds: float


def report(found: Sequence[TrajectoryResult], model: Model, mode: Mode, draws: int) -> Result:
    """Turn examined trajectories into a Result."""
    tables = {
        "tokens": Table.from_rows(
            (row for i, f in enumerate(found) for row in _token_rows(i, f, model)), TOKENS
        ),
        "trajectories": Table.from_rows(
            (_trajectory_row(i, f, model) for i, f in enumerate(found)), _TRAJECTORIES
        ),
    }
    tables["branches"] = branch_table([f.branches for f in found], model)
    estimates = [*_cost(found), _found(found)]
    forced = [f.forced for f in found]
    if any(forced):
        tables["pass_at_k"] = pass_table(forced, draws)
        estimates += pass_estimates(forced, draws)
    return Result(
        summary=_summary(found, estimates, mode),
        estimates=tuple(estimates),
        tables=tables,
        notes=_notes(found, mode),
        views=_views(tables),
    )


def _token_rows(index: int, finding: TrajectoryResult, model: Model) -> list[dict[str, Any]]:
    search, response = finding.search, finding.answer.response
    points = {point.position: point for point in search.points}
    rows = []
    for i, token in enumerate(response, start=1):
        point, before = points.get(i), points.get(i - 1)
        known = point is not None and point.p is not None
        rows.append(
            {
                "trajectory": index,
                "position": i,
                "token": model.decode([token]),
                "id": token,
                "p": point.p if point else None,
                "p_low": point.low if point else None,
                "p_high": point.high if point else None,
                "draws": point.draws if point else 0,
                "wins": point.wins if point else 0,
                "q": float(search.q[i - 1]),
                "entropy": float(search.entropy[i - 1]),
                "effect": before.p - point.p
                if known and point and before and before.p is not None and point.p is not None
                else None,
                "critical": i == search.decision.position,
                "badge": _badge(search.decision) if i == search.decision.position else "",
            }
        )
    return rows


def _badge(decision: Decision) -> str:
    if decision.hopeless:
        return "hopeless"
    return "fallback" if decision.fallback else "critical"


def _trajectory_row(index: int, finding: TrajectoryResult, model: Model) -> dict[str, Any]:
    answer, search = finding.answer, finding.search
    position = search.decision.position
    return {
        "trajectory": index,
        "question": answer.problem.question,
        "answer": answer.problem.answer,
        "response": answer.text,
        "extracted": finding.extracted,
        "n_tokens": len(answer.response),
        "success": answer.wins / answer.draws,
        "samples": answer.draws,
        "critical_position": position,
        "critical_token": model.decode([answer.response[position - 1]]) if position else None,
        "fallback": search.decision.fallback,
        "hopeless": search.decision.hopeless,
        "draws": search.draws,
        "exhaustive": search.exhaustive,
        "new_tokens": finding.new_tokens,
        "seconds": round(finding.seconds, 3),
    }


def _cost(found: Sequence[TrajectoryResult]) -> list[Estimate]:
    draws = sum(f.search.draws for f in found)
    exhaustive = sum(f.search.exhaustive for f in found)
    return [
        Estimate(
            name="cost",
            value=draws / exhaustive,
            unit="share of exhaustive draws",
            n=len(found),
            n_unit="trajectories",
            method=f"{draws} of {exhaustive} draws, counted",
        )
    ]


def _found(found: Sequence[TrajectoryResult]) -> Estimate:
    hits = sum(
        f.search.decision.position is not None and not f.search.decision.fallback for f in found
    )
    return proportion_estimate("critical token exists", hits, len(found), n_unit="trajectories")


def _summary(found: Sequence[TrajectoryResult], estimates: Sequence[Estimate], mode: Mode) -> str:
    by_name = {e.name: e for e in estimates}
    cost = by_name["cost"].value or 0.0
    decided = round((by_name["critical token exists"].value or 0.0) * len(found))
    text = (
        f"A single token decided {decided} of {len(found)} trajectories: "
        f"{by_name['critical token exists']} by {mode} rollouts, at {cost:.0%} of the "
        "draws of an exhaustive search"
    )
    gains = [e for e in estimates if "gain" in e.name]
    return text + (f"; {gains[0]}" if gains else "") + "."


def _notes(found: Sequence[TrajectoryResult], mode: Mode) -> tuple[Note, ...]:
    notes = []
    hopeless = sum(f.search.decision.hopeless for f in found)
    fallback = sum(f.search.decision.fallback for f in found)
    if hopeless:
        notes.append(
            Note(
                f"{hopeless} trajectories are hopeless: no examined continuation is right, so no "
                "token decided",
                "warning",
                "hopeless",
            )
        )
    if fallback:
        notes.append(
            Note(f"{fallback} critical positions meet the first condition only", "warning")
        )
    if mode == "off-path":
        notes.append(
            Note("off-path decisions come from the estimated curve, not from the paper's counts")
        )
    if len(found) < 10:
        notes.append(Note(f"only {len(found)} trajectories: intervals are wide", "warning"))
    return tuple(notes)


def _views(tables: dict[str, Table]) -> tuple[View, ...]:
    forbidden = Curve(
        "Right answers with the token forbidden",
        "pass_at_k",
        x="k",
        y=("critical",),
        control=("random", "with_token"),
        log_x=True,
    )
    return (*_VIEWS, forbidden) if "pass_at_k" in tables else _VIEWS
