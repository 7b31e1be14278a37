"""Verdicts on disk, so that a model is not tried again in every process."""

import hashlib
import json
import os
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from workbench.config import settings
from workbench.model.subject import Subject
from workbench.model.verdict import Verdict

_LIBRARIES = ("torch", "transformers", "transformer-lens", "nnsight", "latent-workbench")


def kept_verdict(model: Subject, capability: str) -> Verdict | None:
    """Return what was found before for the same weights, settings and versions, or None."""
    try:
        found = json.loads(_file(model, capability).read_text())
        return Verdict(**found)
    except (OSError, ValueError, TypeError):
        return None


def keep_verdict(model: Subject, found: Verdict) -> None:
    """Write a verdict down if the cache can be written; it is worth giving even if not."""
    path = _file(model, found.capability)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.tmp")
        partial.write_text(json.dumps(asdict(found)))
        partial.replace(path)
    except OSError:
        return


def _file(model: Subject, capability: str) -> Path:
    name = "".join(letter if letter.isalnum() else "-" for letter in capability)
    return settings().cache / "capabilities" / _identity(model) / f"{name}.json"


def _identity(model: Subject) -> str:
    if not model.identity:
        spec, backend = model.spec, model.backend
        config: Any = backend.module.config
        facts = {
            "weights": spec.weights_hash,
            "configuration": str(config),
            "classes": [_name(type(backend)), spec.architecture],
            "backend": spec.backend,
            "attention": spec.attention,
            "number format": spec.dtype,
            "devices": spec.device.translate(str.maketrans("", "", ":0123456789")),
            "versions": {name: _version(name) for name in _LIBRARIES},
            "code": _code_hash(),
        }
        written = json.dumps(facts, sort_keys=True, default=str)
        model.identity = hashlib.sha256(written.encode()).hexdigest()[:32]
    return model.identity


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


@cache
def _code_hash() -> str:
    """Return a hash of the code that is judged, which may change within one version."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
