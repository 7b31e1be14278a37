"""What to run, as data: a spec round-trips through TOML and has a content hash."""

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_type_hints

import tomli_w

from workbench.errors import BadOption, DataError
from workbench.runs.dataset_rows import PREFIX, DatasetAddress
from workbench.sampling.address import TaskAddress

DEFAULT_MODEL = "SmolLM2-135M-Instruct"

SHIPPED = "shipped:"
SHIPPED_PROMPTS = "shipped:prompts.jsonl"

_DATA_FOLDER = Path(__file__).parent.parent / "data"


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """Which model, on which backend and device.

    `sha256` pins the content of a model that is files (weights, adapters, configuration,
    tokenizer), so that changed files are a different run.
    """

    name: str = DEFAULT_MODEL
    backend: str = "hooks"
    device: str = "auto"
    dtype: str = "auto"
    attention: str = ""
    revision: str = ""
    device_map: str = ""
    trust_remote_code: bool = False
    sha256: str = ""

    def pinned(self) -> "ModelRef":
        """Return the reference with the hash of what its name stands for on this machine."""
        from workbench.model.identity import content_hash

        return replace(self, sha256=content_hash(self.name, self.revision or None))


@dataclass(frozen=True, kw_only=True)
class DataRef:
    """Which rows: texts given outright, a file of them, a file of activations, or a task.

    Without `label`, a field of that name is the label of the rows that have one. A path
    `shipped:NAME` is a data file of the package, wherever that is installed, and
    `dataset:NAME?split=…` a Hugging Face dataset. `sha256` pins the content, so that changed rows
    are a different run.
    """

    texts: Sequence[str] = ()
    path: str = ""
    field: str = "text"
    label: str = ""
    group: str = ""
    limit: int | None = None
    activations: str = ""
    task: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        """Take one text for a list of one: its letters are no texts."""
        texts = (self.texts,) if isinstance(self.texts, str) else tuple(self.texts)
        object.__setattr__(self, "texts", texts)

    @property
    def file(self) -> Path | None:
        """The file that the rows come from, if any."""
        name = self.path or self.activations or TaskAddress.parse(self.task).path
        if name.startswith(SHIPPED):
            return _DATA_FOLDER / name.removeprefix(SHIPPED)
        return Path(name) if name and name != "-" and not self.is_dataset else None

    @property
    def is_dataset(self) -> bool:
        """Whether the rows are those of a Hugging Face dataset."""
        return self.path.startswith(PREFIX)

    def pinned(self) -> "DataRef":
        """Return the reference with the hash of its content, and the commit of a dataset.

        Raises:
            DataError: the file cannot be read, or the dataset is not found.
        """
        if self.is_dataset:
            address, digest = DatasetAddress.parse(self.path).pinned()
            return replace(self, path=str(address), sha256=digest)
        return self if self.file is None else replace(self, sha256=file_hash(self.file))


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One piece of work: a plugin, its options, a model, data and a seed.

    `batch_tokens` bounds the tokens of one forward pass and `max_tokens` those of one text;
    `resamples` is the number of bootstrap resamples. `graph` is the id of the stored discovery
    run that a refuter or a question is about. `pins` holds the hash of every file or checkpoint
    that an option names.
    """

    kind: str = "probe"
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    model: ModelRef | None = field(default_factory=ModelRef)
    data: DataRef = field(default_factory=DataRef)
    graph: str = ""
    seed: int = 0
    resamples: int = 1000
    max_tokens: int = 1024
    batch_tokens: int = 2048
    pins: Mapping[str, str] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """The sha256 of the canonical JSON of everything that decides the numbers."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    @property
    def run_id(self) -> str:
        """The name of the run in a store: plugin name and the start of the hash."""
        return f"{self.name}-{self.hash[:12]}"

    def pinned(self) -> "RunSpec":
        """Return the spec with the hashes of its data, its model and the files its options name.

        Raises:
            DataError: the file cannot be read, or the dataset is not found.
        """
        model = self.model.pinned() if self.model is not None else None
        return replace(self, model=model, data=self.data.pinned(), pins=option_pins(self.options))

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as plain values, leaving out what is unset."""
        values: dict[str, Any] = _without_none(asdict(self))
        # What is not pinned is left out: the hash is then what it was before contents were pinned.
        if "model" in values and not values["model"]["sha256"]:
            del values["model"]["sha256"]
        if not values["pins"]:
            del values["pins"]
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
        given: dict[str, Any] = _without_none(values)
        problems = _problems(cls, given, "")
        problems += _problems(ModelRef, given.get("model", {}), "model.")
        problems += _problems(DataRef, given.get("data", {}), "data.")
        if "name" not in given:
            problems.append("name is missing")
        if problems:
            raise BadOption("; ".join(problems), hint="`workbench runs show RUN --toml` is one")
        model = given.pop("model", None)
        data = dict(given.pop("data", {}))
        data["texts"] = tuple(data.get("texts", ()))
        return cls(
            **given, model=None if model is None else ModelRef(**model), data=DataRef(**data)
        )

    @classmethod
    def from_toml(cls, text: str) -> "RunSpec":
        """Read a spec from TOML.

        Raises:
            BadOption: the text is not TOML, or holds unknown keys.
        """
        return cls.from_dict(toml_values(text))


def toml_values(text: str) -> dict[str, Any]:
    """Read a table from TOML.

    Raises:
        BadOption: the text is not TOML, or is nested too deeply.
    """
    try:
        return tomllib.loads(text)
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
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {path}: {reason}", hint="check the path") from error


def option_pins(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the hash of every file or checkpoint that an option names."""
    return {name: pin for name, value in options.items() if (pin := _pin(value))}


def _pin(value: Any) -> str:
    """Return the hash of the file or checkpoint that an option names, empty if it names none."""
    if not isinstance(value, str) or not value:
        return ""
    try:
        path = Path(value)
        if path.is_file():
            return file_hash(path)
        if (path / "manifest.json").is_file():
            from workbench.model.identity import folder_hash

            return folder_hash(path)
    except (OSError, ValueError):
        return ""
    return ""


_LEAST = {"seed": 0, "resamples": 0, "max_tokens": 1, "batch_tokens": 1, "limit": 1}
# More resamples than these fit no memory and say no more; a larger seed fits no generator.
_MOST = {"resamples": 10**6, "seed": 2**63 - 1}


def _problems(kind: type, values: Any, prefix: str) -> list[str]:
    if not isinstance(values, Mapping):
        return [f"{prefix.rstrip('.')} is {values!r}; expected a table"]
    hints = get_type_hints(kind)
    found = []
    for name, value in values.items():
        if name not in hints:
            found.append(f"unknown key {prefix}{name}")
        elif not _fits(value, hints[name]):
            found.append(f"{prefix}{name} is {value!r}; expected {_word(hints[name])}")
        elif name in _LEAST and value is not None and value < _LEAST[name]:
            found.append(f"{prefix}{name} is {value}; expected at least {_LEAST[name]}")
        elif name in _MOST and value > _MOST[name]:
            found.append(f"{prefix}{name} is {value}; expected at most {_MOST[name]}")
    return found


def _fits(value: Any, hint: Any) -> bool:
    if hint in (str, bool):
        return isinstance(value, hint)
    if hint in (int, int | None):
        return isinstance(value, int) and not isinstance(value, bool)
    if hint == Sequence[str]:
        return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    if hint == Mapping[str, str]:
        return isinstance(value, Mapping) and all(isinstance(item, str) for item in value.values())
    if hint == Mapping[str, Any]:
        return isinstance(value, Mapping)
    return True  # tables, whose keys are checked on their own


def _word(hint: Any) -> str:
    words: dict[Any, str] = {
        str: "text",
        bool: "true or false",
        Sequence[str]: "a list of texts",
        Mapping[str, Any]: "a table",
        Mapping[str, str]: "a table of texts",
    }
    return words.get(hint, "a whole number")


def _without_none(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {k: _without_none(v) for k, v in values.items() if v is not None}
    if isinstance(values, list | tuple):
        return [_without_none(v) for v in values]
    return values
