"""The modes of the search agree, resume, and cost less than exhaustive rollouts."""

from functools import cache

import numpy as np
import pytest

from probes.critical.branches import alternatives
from probes.critical.rollouts import GradedRollouts, Journal
from probes.critical.search import force_alternatives, locate
from workbench.model.policy import Sampling
from workbench.model.tiny import tiny_model
from workbench.sampling.branch import Branch
from workbench.sampling.rollout import RolloutOptions, Trajectory

PROMPT, RESPONSE = (3, 5, 7, 9), tuple(range(10, 26))
STOP = 1


def graded(journal=None, *, dead_from=9, rate=0.5, rows=64, seed=0):
    """Rollouts whose success is known: possible before a position, impossible from it on.

    The grader sees the text, so it is told the prefix by its length in tokens.
    """
    options = RolloutOptions(policy=Sampling(temperature=1.5), limit=6, rows=rows, seed=seed)
    trajectory = Trajectory(tiny_model("llama"), PROMPT, RESPONSE, options)

    def grade(text, is_cut):
        ids = [int(word) for word in text.split()]
        shared = next(
            (i for i, (a, b) in enumerate(zip(ids, RESPONSE, strict=False)) if a != b), len(ids)
        )
        return shared < dead_from and sum(ids) % 100 < 100 * rate

    return GradedRollouts(
        trajectory=trajectory,
        stop_ids=(STOP,),
        decode=lambda ids: " ".join(map(str, ids)),
        grade=grade,
        journal=journal or Journal(None),
    )


def run(mode, rollouts):
    return locate(rollouts, mode=mode, draws=64, generator=np.random.default_rng(0))


@cache
def search(mode, **options):
    """Return what a search finds, and its rollouts; shared by tests, so read-only."""
    rollouts = graded(**options)
    return run(mode, rollouts), rollouts


def test_modes_agree_and_cost_less():
    exhaustive, _ = search("exhaustive")
    assert exhaustive.decision.position == 9
    assert exhaustive.draws == exhaustive.exhaustive == 64 * 15
    paper, _ = search("paper-identical")
    assert paper.decision == exhaustive.decision
    assert paper.draws <= 0.7 * exhaustive.draws
    screened, _ = search("screening")
    assert screened.decision.position == 9
    assert screened.draws < paper.draws


BOTH = pytest.mark.parametrize(
    "mode", [pytest.param("paper-identical", marks=pytest.mark.slow), "screening"]
)


@BOTH
def test_rows_at_a_time_change_neither_decision_nor_counts(mode):
    one, other = search(mode, rows=5)[0], search(mode)[0]
    assert one.decision == other.decision
    assert one.points == other.points


def test_off_path_curve_agrees_with_rollouts():
    exhaustive, _ = search("exhaustive")
    curve, _ = search("off-path")
    assert curve.draws <= 0.3 * exhaustive.draws
    truth = {point.position: point for point in exhaustive.points}
    for point in curve.points:
        if point.position in truth:
            other = truth[point.position]
            widths = [(one.high - one.low) / 3.92 for one in (point, other)]
            assert abs(point.p - other.p) <= 3.5 * np.hypot(*widths)


def test_hopeless_is_said():
    found, _ = search("screening", dead_from=0)
    assert found.decision.hopeless
    assert found.decision.position == 1


@BOTH
def test_a_killed_run_resumes_with_the_same_outcomes(mode, tmp_path):
    path = tmp_path / "journal.jsonl"
    whole, kept = search(mode)
    writing = Journal(path)
    for outcome in kept.journal.outcomes.values():
        writing.add(outcome)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[: len(lines) // 2]) + "\n[[3, 1, nul")
    journal = Journal(path)
    assert len(journal.outcomes) == len(lines) // 2
    rollouts = graded(journal)
    resumed = run(mode, rollouts)
    assert resumed.decision == whole.decision
    assert resumed.points == whole.points
    assert rollouts.fresh <= len(lines) - len(lines) // 2
    assert all(
        outcome == graded_again
        for outcome, graded_again in zip(
            Journal(path).outcomes.values(), journal.outcomes.values(), strict=True
        )
    )


def test_forced_alternatives_avoid_the_token_and_have_a_control():
    rollouts = graded()
    forced = force_alternatives(rollouts, 9, draws=32, generator=np.random.default_rng(1))
    assert [one.kind for one in forced] == ["critical", "random"]
    assert forced[1].position != 9
    for one in forced:
        assert all(outcome.branch.full for outcome in one.outcomes), "drawn from all others"
        assert {outcome.branch.position for outcome in one.outcomes} == {one.position - 1}
        assert len(one.outcomes) == 32
        assert all(o.tokens[0] != RESPONSE[one.position - 1] for o in one.outcomes)
    rows = [row for row in alternatives(rollouts) if row.position == 9]
    assert {row.drawn for row in rows} == {"token forbidden"}
    assert not any(row.is_own for row in rows)
    assert sum(row.draws for row in rows) == 32
    assert sum(row.wins for row in rows) == forced[0].wins


def test_branches_are_the_continuations_by_their_first_token():
    found, rollouts = search("exhaustive")
    rows = alternatives(rollouts)
    after = {place: [row for row in rows if row.position == place + 1] for place in range(1, 16)}
    for point in found.points:
        here = after[point.position]
        assert sum(row.draws for row in here) == point.draws == 64
        assert sum(row.wins for row in here) == point.wins
        assert sum(row.is_own for row in here) <= 1
        q = rollouts.trajectory.distribution([point.position])[0]
        wanted = [float(q[row.token]) for row in here]
        assert [row.probability for row in here] == pytest.approx(wanted, rel=1e-5)
        assert all(bool(row.right) == (row.wins > 0) for row in here)


def test_token_facts_are_probabilities():
    found, rollouts = search("screening")
    assert found.q.shape == found.entropy.shape == (len(RESPONSE),)
    assert ((found.q >= 0) & (found.q <= 1)).all()
    assert (found.entropy >= 0).all()
    assert (
        found.points[0].draws
        == len([b for b in rollouts.journal.outcomes if b == Branch(position=1, draw=b.draw)])
        or found.points[0].draws == 0
    )


@pytest.mark.parametrize("mode", ["exhaustive", "screening", "paper-identical", "off-path"])
def test_short_responses_are_searched(mode):
    options = RolloutOptions(policy=Sampling(temperature=1.5), limit=4, rows=8)
    rollouts = GradedRollouts(
        trajectory=Trajectory(tiny_model("llama"), PROMPT, (4, 6), options),
        stop_ids=(STOP,),
        decode=lambda ids: " ".join(map(str, ids)),
        grade=lambda text, is_cut: False,
        journal=Journal(None),
    )
    found = locate(rollouts, mode=mode, draws=16, generator=np.random.default_rng(0))
    assert found.decision.position == 1


def test_the_grader_is_told_what_a_limit_cut_off():
    told = []
    options = RolloutOptions(policy=Sampling(temperature=1.5), limit=6, rows=8)
    rollouts = GradedRollouts(
        trajectory=Trajectory(tiny_model("llama"), PROMPT, RESPONSE, options),
        stop_ids=range(1, 20),
        decode=lambda ids: " ".join(map(str, ids)),
        grade=lambda text, is_cut: bool(told.append(is_cut)),
        journal=Journal(None),
    )
    found = rollouts.draw([Branch(position=4, draw=k) for k in range(40)]).values()
    assert sum(told) == sum(not one.stopped for one in found)
    assert 0 < sum(told) < 40
