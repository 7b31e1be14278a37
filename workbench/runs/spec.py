"""What to run, as data: a spec round-trips through TOML and has a content hash."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import tomli_w

from workbench.errors import BadOption, DataError

DEFAULT_MODEL = "SmolLM2-135M-Instruct"

RefT = TypeVar("RefT")


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """Which model, on which backend and device."""

    name: str = DEFAULT_MODEL
    backend: str = "hooks"
    device: str = "auto"
    dtype: str = "auto"
    attention: str = ""
    revision: str = ""
    device_map: str = ""
    trust_remote_code: bool = False


@dataclass(frozen=True, kw_only=True)
class DataRef:
    """Which rows: texts given outright, a file of them, or a file of activations.

    `sha256` pins the content of the file, so that a changed file is a different run.
    """

    texts: tuple[str, ...] = ()
    path: str = ""
    field: str = "text"
    label: str = ""
    group: str = ""
    limit: int | None = None
    activations: str = ""
    sha256: str = ""

    @property
    def file(self) -> Path | None:
        """The file that the rows come from, if any."""
        name = self.path or self.activations
        return Path(name) if name and name != "-" else None


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One piece of work: a plugin, its options, a model, data and a seed.

    `batch_tokens` bounds the tokens of one forward pass and `max_tokens` those of one text;
    `resamples` is the number of bootstrap resamples.
    """

    kind: str = "probe"
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    model: ModelRef | None = field(default_factory=ModelRef)
    data: DataRef = field(default_factory=DataRef)
    seed: int = 0
    resamples: int = 1000
    max_tokens: int = 1024
    batch_tokens: int = 2048

    @property
    def hash(self) -> str:
        """The sha256 of the canonical JSON of everything that decides the numbers."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    @property
    def run_id(self) -> str:
        """The name of the run in a store: plugin name and the start of the hash."""
        return f"{self.name}-{self.hash[:12]}"

    def pinned(self) -> "RunSpec":
        """Return the spec with the hash of its data file filled in.

        Raises:
            DataError: the file cannot be read.
        """
        path = self.data.file
        if path is None:
            return self
        return replace(self, data=replace(self.data, sha256=file_hash(path)))

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as plain values, leaving out what is unset."""
        values: dict[str, Any] = _without_none(asdict(self))
        return values

    def to_toml(self) -> str:
        """Write the spec as TOML."""
        return tomli_w.dumps(self.as_dict())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RunSpec":
        """Rebuild a spec from plain values.

        Raises:
            BadOption: unknown or missing keys, all at once.
        """
        given = dict(values)
        problems = _unknown(cls, given, "")
        problems += _unknown(ModelRef, given.get("model") or {}, "model.")
        problems += _unknown(DataRef, given.get("data") or {}, "data.")
        if "name" not in given:
            problems.append("name is missing")
        if problems:
            raise BadOption("; ".join(problems), hint="`workbench runs show RUN --toml` is one")
        model = given.pop("model", None)
        data = dict(given.pop("data", {}))
        data["texts"] = tuple(data.get("texts", ()))
        return cls(**given, model=ModelRef(**model) if model else None, data=DataRef(**data))

    @classmethod
    def from_toml(cls, text: str) -> "RunSpec":
        """Read a spec from TOML.

        Raises:
            BadOption: the text is not TOML, or holds unknown keys.
        """
        try:
            return cls.from_dict(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise BadOption(f"not valid TOML: {error}") from error
        except RecursionError as error:
            raise BadOption("not valid TOML: nested too deeply") from error


def file_hash(path: Path) -> str:
    """Return the sha256 of a file's bytes.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror or error}", hint="check the path"
        ) from error


def _unknown(kind: type, values: Any, prefix: str) -> list[str]:
    if not isinstance(values, Mapping):
        return [f"{prefix.rstrip('.')} is {values!r}; expected a table"]
    known = {f.name for f in fields(kind)}
    return [f"unknown key {prefix}{name}" for name in values if name not in known]


def _without_none(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {k: _without_none(v) for k, v in values.items() if v is not None}
    if isinstance(values, list | tuple):
        return [_without_none(v) for v in values]
    return values
