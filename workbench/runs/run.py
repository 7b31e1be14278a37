"""One executed spec: status, provenance and result."""

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from workbench.errors import WorkbenchError
from workbench.result.result import Result
from workbench.runs.spec import RunSpec

Status = Literal["complete", "partial", "interrupted", "failed", "running"]

_VERSIONS = ("latent-workbench", "torch", "transformers", "transformer-lens", "nnsight", "numpy")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a run failed, in the words of the error that stopped it."""

    code: str
    message: str
    hint: str = ""

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Describe an error."""
        if isinstance(error, WorkbenchError):
            return cls(code=error.code, message=error.message, hint=error.hint)
        if isinstance(error, KeyboardInterrupt):
            return cls(code="interrupted", message="stopped by the user")
        return cls(code="unexpected", message=f"{type(error).__name__}: {error}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One executed `RunSpec`.

    `complete`: all rows counted. `partial`: some rows were unusable, or some of several fits gave
    nothing, and the notes name them. `interrupted`: stopped early; the result covers what was
    done. `failed`: no estimate; a result, where there is one, says why.
    """

    spec: RunSpec
    status: Status
    result: Result | None = None
    failure: Failure | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def run_id(self) -> str:
        """The name of the run in a store."""
        return self.spec.run_id

    def as_dict(self) -> dict[str, Any]:
        """Return everything but arrays as plain values: what `--json` prints."""
        result = self.result.as_dict() if self.result else {"estimates": [], "tables": {}}
        return {
            "run_id": self.run_id,
            "status": self.status,
            **result,
            "failure": vars(self.failure) if self.failure else None,
            "spec": self.spec.as_dict(),
            "provenance": dict(self.provenance),
        }

    def _repr_html_(self) -> str:
        head = f"<p><code>{escape(self.run_id)}</code> {escape(self.status)}</p>"
        if self.result is None:
            return head + f"<p>{escape(self.failure.message if self.failure else '')}</p>"
        from workbench.figures.notebook import charts_html

        return head + charts_html(self.result) + self.result._repr_html_()


def environment() -> dict[str, Any]:
    """Describe the installation and the hardware, for the record of a run."""
    import torch

    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "versions": {name: _version(name) for name in _VERSIONS},
    }


@cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
