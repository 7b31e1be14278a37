"""What a loaded model can do, found out by trying it on a few tokens when it is first asked for."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from workbench.errors import Unsupported, WorkbenchError, first_line
from workbench.model.finite import report, watching
from workbench.model.kept_verdicts import keep_verdict, kept_verdict
from workbench.model.subject import Subject
from workbench.model.verdict import Verdict

Check = Callable[[Subject], Verdict]

CHECKS: dict[str, Check] = {}
"""Every capability that can be checked, filled by the modules that hold the checks."""

_HOMES: tuple[str, ...] = (
    "workbench.model.site_checks",
    "workbench.model.generation_checks",
    "workbench.model.late_start",
    "workbench.model.mask_checks",
)
_TRANSIENT = (torch.OutOfMemoryError, MemoryError, OSError)


def check(*capabilities: str) -> Callable[[Check], Check]:
    """Register a function as the check of those capabilities; it names the one it judged."""

    def register(function: Check) -> Check:
        CHECKS.update(dict.fromkeys(capabilities, function))
        return function

    return register


def known_checks() -> dict[str, Check]:
    """Return every check by the capability it judges."""
    for home in _HOMES:
        importlib.import_module(home)
    return CHECKS


def verdict(model: Subject, capability: str) -> Verdict:
    """Return whether that model has the capability; it is tried once and then remembered.

    A check runs under the model's lock on a few tokens of its own and changes nothing. It is
    remembered on the model, and on disk for the same weights, settings and library versions.
    An error inside a check is a failed verdict; a capability that no check knows is one as well.
    """
    model = model.checked_as or model
    found = model.verdicts.get(capability)
    if found is None:
        with model.lock:
            found = model.verdicts.get(capability) or _find(model, capability)
    return found


def require(model: Subject, capability: str) -> None:
    """Refuse a capability that the model does not have; within a check nothing is refused.

    Raises:
        Unsupported: the check of that capability failed, or there is none.
    """
    model = model.checked_as or model
    found = model.verdicts.get(capability)
    if found is None:
        with model.lock:
            if model.is_checked:
                return
            found = verdict(model, capability)
    if not found.works:
        raise refusal(model, found)


def refusal(model: Subject, found: Verdict) -> Unsupported:
    """Return the error that names the model, its backend, the capability and the reason."""
    return Unsupported(
        f"{model.spec.name} on backend {model.spec.backend} cannot offer {found.capability!r}: "
        f"{found.reason}",
        hint=found.hint or "`workbench models show NAME --parity` lists what this model can do",
    )


def _find(model: Subject, capability: str) -> Verdict:
    found = kept_verdict(model, capability)
    if found is None:
        with watching() as watch:
            found, lasting = _try(model, capability)
        if watch.broken is not None:
            # Numbers that are not finite judge nothing; whoever watches is told the cause.
            report(watch.broken)
            return found
        if lasting:
            keep_verdict(model, found)
    model.verdicts[capability] = found
    return found


def _try(model: Subject, capability: str) -> tuple[Verdict, bool]:
    """Run one check; say as well whether its outcome would be the same another time."""
    run = known_checks().get(capability)
    if run is None:
        reason = "nothing is known about it, and what was not checked is not allowed"
        return Verdict(capability=capability, works=False, reason=reason), False
    try:
        with trying(model):
            found = run(model)
    except WorkbenchError as error:
        return Verdict(capability=capability, works=False, reason=error.message), True
    except Exception as error:  # a check runs a model nobody has seen
        reason = f"running it ended in {type(error).__name__}: {first_line(error)}"
        lasting = not isinstance(error, _TRANSIENT)
        return Verdict(capability=capability, works=False, reason=reason), lasting
    return found, True


@contextmanager
def trying(model: Subject) -> Iterator[None]:
    """Ask for no verdict while the model is run inside; the caller holds its lock."""
    before, model.is_checked = model.is_checked, True
    try:
        with torch.no_grad():
            yield
    finally:
        model.is_checked = before
