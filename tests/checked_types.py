"""Types and shapes of arguments and returns, checked once per call.

jaxtyping's decorator binds the arguments of every call, checks them before the call and again
with what is returned, and does so where no shape is named; in loops over small arrays that is
most of the time of a test. This one checks each value once and asks for shapes where they are
named. What passes and what is refused is the same. Importing this module puts it in place.
"""

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from types import CodeType, FunctionType
from typing import Any

import jaxtyping
from beartype import beartype
from jaxtyping import AbstractArray

_scope = jaxtyping.jaxtyped


def _jaxtyped(fn: Any = None, *, typechecker: object = None) -> Any:
    if isinstance(fn, str):
        return _scope(fn)
    return checked if fn is None else checked(fn)


def checked(made: Any) -> Any:
    """Return a function or a class whose calls are checked."""
    if not inspect.isclass(made):
        return _checked(made)
    if is_dataclass(made) and "__init__" in vars(made):
        made.__init__ = _checked(made.__init__)
    return made


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
        # beartype would check its arguments when the first value is asked for
        return _scope(function, typechecker=beartype)
    inner: Callable[..., Any] | None = None

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        nonlocal inner
        if inner is None:
            # Most functions are never called by one process, and to compile a check takes long.
            inner = _checking(function)
        return inner(*args, **kwargs)

    return called


@dataclass(frozen=True)
class _Compiled:
    """A compiled check of a function that is made anew at every call of another."""

    annotations: dict[str, Any]
    check: FunctionType
    shaped: bool

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return this check around another function of the same code."""
        known = self.check
        again = FunctionType(known.__code__, known.__globals__, known.__name__, known.__defaults__)
        again.__kwdefaults__ = known.__kwdefaults__ | {_CHECKED: function}
        return again


# How beartype's check names the function that it calls.
_CHECKED = "__beartype_func"
_compiled: dict[CodeType, _Compiled] = {}


def _checking(function: Callable[..., Any]) -> Callable[..., Any]:
    known = _compiled.get(function.__code__)
    if known is not None and known.annotations == function.__annotations__:
        return _scoped(known.of(function)) if known.shaped else known.of(function)
    written = dict(function.__annotations__)
    hints = _hints(function)
    function.__annotations__ = hints
    inner, shaped = beartype(function), any(map(_names_a_shape, hints.values()))
    if "<locals>" in function.__qualname__ and _CHECKED in (inner.__kwdefaults__ or ()):
        _compiled[function.__code__] = _Compiled(written, inner, shaped)
    return _scoped(inner) if shaped else inner


def _scoped(inner: Callable[..., Any]) -> Callable[..., Any]:
    def within(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        with _scope("context"):
            return inner(*args, **kwargs)

    return within


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations as objects; one that cannot be read here checks nothing."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:
        return {name: _hint(hint, function) for name, hint in function.__annotations__.items()}


def _hint(hint: object, function: Callable[..., Any]) -> object:
    def of(value: Any) -> None: ...

    of.__annotations__["value"] = hint
    try:
        return typing.get_type_hints(of, function.__globals__, include_extras=True)["value"]
    except Exception:
        return Any


def _names_a_shape(hint: object) -> bool:
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    parts = hint if isinstance(hint, list | tuple) else typing.get_args(hint)
    return any(map(_names_a_shape, parts))


jaxtyping.jaxtyped = _jaxtyped
