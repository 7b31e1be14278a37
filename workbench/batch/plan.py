"""What to probe, as data: several probes, one model, one file of rows."""

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from workbench.errors import BadOption, DataError, InputError
from workbench.methods.registry import Plugin, find
from workbench.options import build, plain
from workbench.runs.drivers import driver_of
from workbench.runs.folder import NAME
from workbench.runs.spec import DataRef, ModelRef, RunSpec, option_pins, toml_values

MOST_BYTES = 1 << 18
# The time to read a dotted key grows with the square of its parts.
MOST_DOTS = 1000
DTYPES = ("float32", "float16", "bfloat16")

_NUMBERS = ("seed", "resamples", "max_tokens", "batch_tokens")


@dataclass(frozen=True, kw_only=True)
class Keep:
    """Which activations are kept beside the results, and in which number format."""

    sites: tuple[str, ...] = ()
    dtype: str = "float16"


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """A piece of batch work; every probe of it is one `RunSpec` on the same rows.

    `shard_rows` rows are worked on and committed together: what a crash can cost at most.
    """

    name: str
    specs: tuple[RunSpec, ...]
    keep: Keep = field(default_factory=Keep)
    shard_rows: int = 512

    @property
    def data(self) -> DataRef:
        """The rows that all probes read."""
        return self.specs[0].data

    @property
    def model(self) -> ModelRef:
        """The model that all probes read."""
        return self.specs[0].model or ModelRef()

    @property
    def hash(self) -> str:
        """The sha256 of the canonical JSON of everything that decides the numbers."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return {
            "name": self.name,
            "specs": [spec.as_dict() for spec in self.specs],
            "keep": {"sites": list(self.keep.sites), "dtype": self.keep.dtype},
            "shard_rows": self.shard_rows,
        }

    def keys(self) -> tuple[str, ...]:
        """Return one file name per probe; the same probe may be there twice."""
        return tuple(f"{i:02d}-{spec.name}" for i, spec in enumerate(self.specs))

    def recipes(self) -> tuple[tuple[Plugin, Any], ...]:
        """Return each probe's plugin with its options built."""
        found = [find(spec.kind, spec.name) for spec in self.specs]
        return tuple(
            (plugin, build(plugin.recipe, spec.options))
            for plugin, spec in zip(found, self.specs, strict=True)
        )

    def pinned(self) -> "BatchPlan":
        """Return the plan with every option written out and the hashes of files filled in.

        Raises:
            WorkbenchError: an unknown probe, a bad option, a probe that drives the model itself,
                or a file that cannot be read.
        """
        first = self.specs[0].pinned()
        specs = []
        for spec, (_, recipe) in zip(self.specs, self.recipes(), strict=True):
            if not driver_of(recipe).can_batch:
                raise InputError(
                    f"{spec.name} drives the model itself and cannot share a forward pass",
                    hint=f"workbench probe run {spec.name}",
                )
            options = plain(recipe)
            ready = replace(spec, options=options, pins=option_pins(options))
            specs.append(replace(ready, model=first.model, data=first.data))
        return replace(self, specs=tuple(specs))

    @classmethod
    def from_toml(cls, text: str) -> "BatchPlan":
        """Read a plan from TOML.

        Raises:
            BadOption: the text is not TOML, is too large, or holds unknown or unfit keys.
        """
        if len(text) > MOST_BYTES:
            raise BadOption(
                f"the plan has {len(text)} characters; expected at most {MOST_BYTES}",
                hint="rows belong into a data file",
            )
        if max(line.count(".") for line in text.split("\n")) > MOST_DOTS:
            raise BadOption(
                f"the plan has a line with more than {MOST_DOTS} dots",
                hint="break the line, or nest keys less deeply",
            )
        return cls.from_dict(toml_values(text))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "BatchPlan":
        """Build a plan from plain values.

        Raises:
            BadOption: unknown, missing or unfit keys, all at once.
        """
        problems = _problems(values)
        if problems:
            raise BadOption("; ".join(problems), hint="docs/howto/batch shows a whole plan")
        rest = {key: values[key] for key in (*_NUMBERS, "model", "data") if key in values}
        specs = tuple(
            RunSpec.from_dict({"name": probe["name"], "options": probe.get("options", {}), **rest})
            for probe in values["probes"]
        )
        _check_data(specs[0].data)
        keep = values.get("keep", {})
        return cls(
            name=values["name"],
            specs=specs,
            keep=Keep(sites=tuple(keep.get("sites", ())), dtype=keep.get("dtype", "float16")),
            shard_rows=values.get("shard_rows", 512),
        )


def read_plan(path: Path) -> BatchPlan:
    """Read a plan from a file.

    Raises:
        DataError: the file cannot be read.
        BadOption: it is not a plan.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(MOST_BYTES + 1).decode()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}", hint="check the path") from error
    return BatchPlan.from_toml(text)


def _problems(values: Mapping[str, Any]) -> list[str]:
    known = ("name", "probes", "model", "data", "keep", "shard_rows", *_NUMBERS)
    found = _unknown(values, known, "")
    found += _unknown(values.get("model", {}), [f.name for f in fields(ModelRef)], "model.")
    found += _unknown(values.get("data", {}), [f.name for f in fields(DataRef)], "data.")
    found += _unknown(values.get("keep", {}), [f.name for f in fields(Keep)], "keep.")
    name = values.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name) or ".." in name:
        found.append(f"name is {name!r}; expected letters, digits, '.', '_' and '-'")
    rows = values.get("shard_rows", 1)
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 1:
        found.append(f"shard_rows is {rows!r}; expected a whole number, at least 1")
    return found + _probe_problems(values.get("probes")) + _keep_problems(values.get("keep", {}))


def _probe_problems(probes: Any) -> list[str]:
    if not isinstance(probes, list) or not probes:
        return ["probes are missing; write [[probes]] with a name for each"]
    found = []
    for i, probe in enumerate(probes):
        found += _unknown(probe, ("name", "options"), f"probes[{i}].")
        if isinstance(probe, Mapping) and not isinstance(probe.get("name"), str):
            found.append(f"probes[{i}].name is {probe.get('name')!r}; expected text")
        if isinstance(probe, Mapping) and not isinstance(probe.get("options", {}), Mapping):
            found.append(f"probes[{i}].options is no table")
    return found


def _keep_problems(keep: Any) -> list[str]:
    if not isinstance(keep, Mapping):
        return []
    found, sites = [], keep.get("sites", [])
    if not isinstance(sites, list) or not all(isinstance(site, str) for site in sites):
        found.append(f"keep.sites is {sites!r}; expected a list of texts")
    if keep.get("dtype", "float16") not in DTYPES:
        found.append(f"keep.dtype is {keep['dtype']!r}; expected one of {', '.join(DTYPES)}")
    return found


def _unknown(values: Any, known: Sequence[str], prefix: str) -> list[str]:
    if not isinstance(values, Mapping):
        return [f"{prefix.rstrip('.')} is {values!r}; expected a table"]
    found = []
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            found.append(f"unknown key {prefix}{name} ({meant})")
    return found


def _check_data(data: DataRef) -> None:
    if not data.path or data.path == "-" or data.texts or data.task or data.activations:
        given = {k: v for k, v in asdict(data).items() if v and k != "field"}
        raise BadOption(
            f"data is {given}; expected a file that can be read again: data.path",
            hint="write standard input to a JSONL file first",
        )
