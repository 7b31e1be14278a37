"""What `doctor` looks at: the installation, the models, the store and the machine."""

import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from app.guard import name_problems
from workbench.config import settings
from workbench.errors import WorkbenchError

State = Literal["ok", "warning", "failed"]

OUR_PACKAGES = ("probes", "reasoning", "causal")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_LEAST_FREE = 2**30


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at: how it stands, what was found and what to do about it."""

    name: str
    state: State
    found: str
    hint: str = ""


def checkup() -> tuple[Check, ...]:
    """Look at everything; a check that itself breaks is reported as failed."""
    return tuple(check for look in _LOOKS for check in _safely(look))


def is_healthy(checks: tuple[Check, ...]) -> bool:
    """Whether nothing failed; warnings are allowed."""
    return all(check.state != "failed" for check in checks)


def _safely(look: Callable[[], list[Check]]) -> list[Check]:
    name = look.__name__.removeprefix("_").replace("_", " ")
    try:
        return look()
    except WorkbenchError as error:
        return [Check(name=name, state="failed", found=error.message, hint=error.hint)]
    except (OSError, ImportError, RuntimeError, ValueError) as error:
        return [Check(name=name, state="failed", found=f"{type(error).__name__}: {error}")]


def _python() -> list[Check]:
    found = f"{sys.version.split()[0]} in {sys.prefix}"
    good = sys.version_info >= (3, 11)
    return [
        Check(
            name="python",
            state="ok" if good else "failed",
            found=found,
            hint="" if good else "use Python 3.11 or newer",
        )
    ]


def _package_names() -> list[Check]:
    problems = name_problems()
    if not problems:
        return [Check(name="package names", state="ok", found="all five are ours")]
    hint = "install the workbench in an environment of its own"
    return [Check(name="package names", state="failed", found=p, hint=hint) for p in problems]


def _dependencies() -> list[Check]:
    checks = []
    missing = []
    versions = []
    for requirement in requires("latent-workbench") or []:
        if "extra ==" in requirement:
            continue
        name = _distribution(requirement)
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    for name in missing:
        checks.append(
            Check(
                name="dependency",
                state="failed",
                found=f"{name} is not installed",
                hint=f"pip install {name}",
            )
        )
    shown = [f"latent-workbench {version('latent-workbench')}", *versions]
    return [Check(name="versions", state="ok", found=", ".join(shown)), *checks]


def _distribution(requirement: str) -> str:
    for i, char in enumerate(requirement):
        if not (char.isalnum() or char in "-_."):
            return requirement[:i]
    return requirement


def _torch() -> list[Check]:
    import torch

    product = torch.full((8, 8), 2.0) @ torch.eye(8)
    works = bool((product == 2).all())
    threads = f"torch {torch.__version__}, {torch.get_num_threads()} threads"
    return [
        Check(
            name="torch",
            state="ok" if works else "failed",
            found=threads if works else "a matrix product came out wrong",
        )
    ]


def _devices() -> list[Check]:
    import torch

    found = ["cpu"]
    if torch.cuda.is_available():
        found += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [Check(name="devices", state="ok", found=", ".join(found))]


def _plugins() -> list[Check]:
    from workbench.methods.registry import failures, import_plugins, plugins

    import_plugins()
    found = plugins()
    counts = Counter(plugin.kind for plugin in found)
    told = ", ".join(f"{kind} {n}" for kind, n in counts.items()) or "none"
    checks = [Check(name="plugins", state="ok" if counts else "failed", found=told)]
    for folder in settings().plugins:
        n = sum(plugin.package == str(folder.resolve()) for plugin in found)
        told = f"{n} plugins in {folder}" if folder.is_dir() else f"{folder} is not there"
        checks.append(Check(name="plugin folder", state="ok", found=told))
    for failure in failures():
        ours = failure.where.partition(".")[0] in OUR_PACKAGES
        checks.append(
            Check(
                name="plugin",
                state="failed" if ours else "warning",
                found=f"{failure.where}: {failure.reason}",
                hint="install the workbench again" if ours else "update or uninstall it",
            )
        )
    return checks


def _default_model() -> list[Check]:
    from workbench.model.catalog import available_models
    from workbench.model.default_model import INSTALL, checked_embedded_file, embedded_file

    if embedded_file() is None:
        return [Check(name="default model", state="warning", found="not installed", hint=INSTALL)]
    path = checked_embedded_file()
    ready = available_models()[0].ready
    when = "converted" if ready else "converted at first use"
    return [Check(name="default model", state="ok", found=f"checksum matches, {when}: {path}")]


def _store() -> list[Check]:
    folder = settings().store
    checks = [_writable("store", folder)]
    if (folder / "runs").is_dir():
        from workbench.runs.store import Store

        table = Store(folder).find()
        corrupt = [row["run_id"] for row in table.rows() if row["status"] == "corrupt"]
        checks.append(
            Check(
                name="stored runs",
                state="warning" if corrupt else "ok",
                found=f"{len(table)} runs, {len(corrupt)} corrupt",
                hint=f"workbench runs rm {' '.join(corrupt[:3])}" if corrupt else "",
            )
        )
    return checks


def _cache() -> list[Check]:
    return [_writable("cache", settings().cache)]


def _dashboard() -> list[Check]:
    has_streamlit = find_spec("streamlit") is not None
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), "")
    return [
        Check(
            name="dashboard",
            state="ok" if has_streamlit else "failed",
            found="streamlit is installed" if has_streamlit else "streamlit is missing",
            hint="" if has_streamlit else "pip install streamlit",
        ),
        Check(name="browser", state="ok", found=browser or "no chromium (only its tests need one)"),
    ]


def _writable(name: str, folder: Path) -> Check:
    # Looking must not create anything, so the nearest folder that exists is asked.
    import os

    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        return Check(
            name=name,
            state="failed",
            found=f"{folder}: {place} is not writable",
            hint=f"set WORKBENCH_{name.upper()} to a folder you may write to",
        )
    free = shutil.disk_usage(place).free
    return Check(
        name=name,
        state="ok" if free >= _LEAST_FREE else "warning",
        found=f"{folder.absolute()}, {free / 2**30:.1f} GiB free",
        hint="" if free >= _LEAST_FREE else "free some space",
    )


_LOOKS = (
    _python,
    _package_names,
    _dependencies,
    _torch,
    _devices,
    _plugins,
    _default_model,
    _store,
    _cache,
    _dashboard,
)
