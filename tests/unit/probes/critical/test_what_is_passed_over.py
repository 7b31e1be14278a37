"""Positions that are not asked for yet, and positions that are no candidates."""

import pytest

from probes.critical.rules import BackwardScan
from probes.critical.screening import Screening, SequentialTest


def test_nothing_before_a_success_is_asked_for_while_it_is_open():
    scan = BackwardScan(range(1, 5), draws=8)
    assert scan.pending() == [4, 3, 2, 1]
    scan.record(3, success=True)
    assert scan.pending() == [4, 3]
    for _ in range(3):
        scan.record(3, success=True)
    assert scan.pending() == [4], "3 is alive, and 4 decides whether it is the last"


@pytest.mark.parametrize(("wins", "candidate"), [(0, 2), (1, 3), (3, 3)])
def test_a_confirmed_position_with_few_successes_is_no_candidate(wins, candidate):
    machine = Screening(range(1, 5), test=SequentialTest())
    while todo := machine.pending():
        machine.record(todo[0], success=todo[0] == 1)
    assert machine.candidate() == 2
    machine.confirm(2, wins=wins, draws=64)
    assert machine.candidate() == candidate
