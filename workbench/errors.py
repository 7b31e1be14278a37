"""Every error the workbench raises on purpose.

    WorkbenchError
    ├── InputError            what a person typed or passed in
    │   ├── UnknownName       no plugin, site, model or column of that name (KeyError)
    │   ├── BadOption         an option outside its bounds (ValueError)
    │   ├── BadSite           an address that does not parse or does not exist (ValueError)
    │   │   └── NoSuchLayers  a pattern of sites that matches no layer
    │   └── BadEdit           an intervention that cannot be applied (ValueError)
    ├── ModelError            loading or running a model
    │   ├── ModelNotFound     no such file, folder or hub id (FileNotFoundError)
    │   └── Unsupported       the backend or architecture cannot do this (NotImplementedError)
    ├── DataError             rows, files and arrays
    │   ├── BadRows           rows that could not be read, each with file and line (ValueError)
    │   ├── TooLittleData     too few rows, texts or tokens (ValueError)
    │   ├── TooFewClasses     the labels do not hold the classes asked for (ValueError)
    │   └── NotFinite         NaN or infinite values (ValueError)
    ├── FitError              an estimate that did not converge or is not defined (ArithmeticError)
    ├── StoreError            the run folder and its index
    │   ├── RunNotFound       no run of that id (KeyError)
    │   ├── CorruptRun        a stored file does not match its checksum (ValueError)
    │   └── NotStored         a finished run could not be written; it is in `run`
    ├── PluginError           a plugin that cannot be registered or loaded
    └── EnvironmentProblem    the installation or the machine (RuntimeError)

A message says what was given and what was expected; `hint` says what to try next.
"""

from typing import Any


class WorkbenchError(Exception):
    """Something the workbench can explain: a message, a hint and a stable code."""

    code = "workbench-error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep the message and the next thing to try."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the message, with the hint on its own line when there is one."""
        return f"{self.message}\n  try: {self.hint}" if self.hint else self.message


class InputError(WorkbenchError):
    """What a person typed or passed in does not fit."""

    code = "input"


class UnknownName(InputError, KeyError):
    """No plugin, site, model or column carries that name."""

    code = "unknown-name"

    __str__ = WorkbenchError.__str__


class BadOption(InputError, ValueError):
    """An option has the wrong type or lies outside its bounds."""

    code = "bad-option"


class BadSite(InputError, ValueError):
    """A site address does not parse, or the model has no such place."""

    code = "bad-site"


class NoSuchLayers(BadSite):
    """A pattern of sites matches no layer of the model."""

    code = "no-such-layers"


class BadEdit(InputError, ValueError):
    """An intervention cannot be applied where it was asked for."""

    code = "bad-edit"


class ModelError(WorkbenchError):
    """A model could not be loaded or run."""

    code = "model"


class ModelNotFound(ModelError, FileNotFoundError):
    """No file, folder, cached or hub model carries that name."""

    code = "model-not-found"

    __str__ = WorkbenchError.__str__


class Unsupported(ModelError, NotImplementedError):
    """The backend or the architecture cannot do what was asked."""

    code = "unsupported"


class DataError(WorkbenchError):
    """Rows, files or arrays cannot be used as they are."""

    code = "data"


class BadRows(DataError, ValueError):
    """Rows could not be read; the message lists each with file and line."""

    code = "bad-rows"


class TooLittleData(DataError, ValueError):
    """There are too few rows, texts or tokens for the quantity."""

    code = "too-little-data"


class TooFewClasses(DataError, ValueError):
    """The labels do not hold the number of classes asked for."""

    code = "too-few-classes"

    def __init__(self, *, got: object, expected: int) -> None:
        """Name the classes found and the number expected."""
        super().__init__(
            f"labels hold the classes {got!r}; expected {expected} different ones",
            hint="check --label, or give data with more than one class",
        )


class NotFinite(DataError, ValueError):
    """An array holds NaN or infinite values."""

    code = "not-finite"


class FitError(WorkbenchError, ArithmeticError):
    """An estimate did not converge, or is not defined on this data."""

    code = "fit"


class StoreError(WorkbenchError):
    """The run folder or its index cannot be used."""

    code = "store"


class RunNotFound(StoreError, KeyError):
    """The store holds no run of that id."""

    code = "run-not-found"

    __str__ = WorkbenchError.__str__


class CorruptRun(StoreError, ValueError):
    """A stored file is missing or does not match its checksum."""

    code = "corrupt-run"


class NotStored(StoreError):
    """A finished run could not be written; `run` still holds it."""

    code = "not-stored"

    def __init__(self, message: str, *, run: Any, hint: str = "") -> None:
        """Keep the run, so that a front end can show what was computed."""
        super().__init__(message, hint=hint)
        self.run = run


class PluginError(WorkbenchError):
    """A plugin cannot be registered or loaded."""

    code = "plugin"


class EnvironmentProblem(WorkbenchError, RuntimeError):
    """The installation or the machine lacks something the workbench needs."""

    code = "environment"


def first_line(error: BaseException) -> str:
    """Return the first line that says something, at most 200 characters, or the error's class."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line[:200] for line in lines if line), type(error).__name__)
