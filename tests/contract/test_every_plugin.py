"""One suite per kind over every registered plugin, ours and a stranger's.

A new plugin is tested by being registered.
"""

import pytest

from tests.contract.case import Case
from tests.contract.checks import CHECKS
from tests.contract.skips import SKIPS, SLOW
from workbench.methods.registry import KINDS, failures, plugins

CASES = [
    (check, Case(plugin.kind, plugin.name))
    for plugin in plugins()
    for check in CHECKS[plugin.kind]
    if (check.__name__, f"{plugin.kind}/{plugin.name}") not in SKIPS
]


@pytest.mark.parametrize(
    ("check", "case"),
    [
        pytest.param(
            check,
            case,
            id=f"{case}-{check.__name__}",
            marks=pytest.mark.slow if (check.__name__, str(case)) in SLOW else (),
        )
        for check, case in CASES
    ],
)
def test_it_keeps_its_promise(check, case):
    check(case)


def test_every_plugin_module_loads_and_every_kind_has_a_suite():
    assert failures() == ()
    assert set(CHECKS) == set(KINDS)


def test_a_skip_names_a_check_and_a_plugin_that_exist():
    known = {(c.__name__, f"{p.kind}/{p.name}") for p in plugins() for c in CHECKS[p.kind]}
    assert set(SKIPS) | SLOW <= known
    assert all(reason for reason in SKIPS.values())
