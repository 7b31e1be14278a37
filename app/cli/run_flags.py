"""The flags that every run takes, and the spec they describe."""

import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli.escaping import typed
from app.cli.output import say
from workbench.errors import DataError, InputError
from workbench.methods.registry import Plugin
from workbench.runs.spec import DEFAULT_MODEL, SHIPPED_PROMPTS, DataRef, ModelRef, RunSpec

if TYPE_CHECKING:
    from workbench.model.model import Model
    from workbench.progress import Progress

STORE = click.Option(
    ["--store"],
    metavar="FOLDER",
    help="Where runs are kept.  [default: WORKBENCH_STORE or runs-store]",
)

BACKEND = click.Option(["--backend"], help="hooks, transformer-lens or nnsight.  [default: hooks]")
DEVICE = click.Option(["--device"], help="auto, cpu, cuda, cuda:1 or mps.  [default: auto]")
DTYPE = click.Option(["--dtype"], help="auto, float32, bfloat16 or float16.  [default: auto]")
MODEL = (
    click.Option(
        ["--model"],
        help=f"Name, hub id, folder, GGUF file or tiny:llama.  [default: {DEFAULT_MODEL}]",
    ),
    BACKEND,
    DEVICE,
    DTYPE,
)

_INPUT = (
    click.Option(["--text"], multiple=True, help="A text; may be repeated."),
    click.Option(
        ["--data"],
        metavar="FILE",
        help="JSONL, JSON, CSV, TSV, Parquet or plain text; - reads standard input; "
        "dataset:NAME?split=train a Hugging Face dataset.",
    ),
    click.Option(["--field"], help="Field of a row that holds the text.  [default: text]"),
    click.Option(["--label"], help="Field that holds the label; without it, one named label."),
    click.Option(["--group"], help="Field that holds the group; groups are never split."),
    click.Option(["--limit"], type=click.IntRange(min=1), help="Use the first rows only."),
    click.Option(["--task"], help="Draw problems of a task: NAME, NAME:FILE or NAME?option=value."),
    click.Option(
        ["--activations"],
        metavar="FILE",
        help="Safetensors with x [n, d] and optional text [n], instead of a model.",
    ),
)

_WORK = (
    click.Option(
        ["--seed"],
        type=click.IntRange(min=0, max=2**63 - 1),
        help="Seed of everything random.  [default: 0]",
    ),
    click.Option(
        ["--resamples"],
        type=click.IntRange(min=0, max=10**6),
        help="Bootstrap resamples.  [default: 1000]",
    ),
    click.Option(
        ["--max-tokens"],
        type=click.IntRange(min=1),
        help="Cut each text to so many tokens.  [default: 1024]",
    ),
    click.Option(
        ["--batch-tokens"],
        type=click.IntRange(min=1),
        help="Tokens of one forward pass, padding included.  [default: 2048]",
    ),
    click.Option(
        ["--spec"],
        metavar="FILE",
        help="Begin from a spec written by --toml; other flags override it.",
    ),
)

SPEC_FLAGS = (*_INPUT, *MODEL, *_WORK)

_MODEL_KEYS = ("name", "backend", "device", "dtype")
_DATA_KEYS = ("field", "label", "group", "limit", "activations", "task")
_WORK_KEYS = ("seed", "resamples", "max_tokens", "batch_tokens")


def spec_from_flags(
    plugin: Plugin, options: Mapping[str, Any], flags: Mapping[str, Any]
) -> RunSpec:
    """Build the spec that flags describe, on top of `--spec` where one is given.

    Raises:
        InputError: flags that exclude each other, or a spec of another plugin.
        DataError: the spec file cannot be read.
    """
    kind, name = plugin.kind, plugin.name
    spec = read_spec(flags["spec"]) if flags["spec"] else RunSpec(kind=kind, name=name)
    if (spec.kind, spec.name) != (kind, name):
        raise InputError(
            f"{flags['spec']} is a spec of {spec.kind} {spec.name}, not of {kind} {name}",
            hint=f"give the spec to the command of {spec.kind} {spec.name}",
        )
    typed = {key: flags[key] for key in _WORK_KEYS if flags[key] is not None}
    return replace(
        spec,
        options={**spec.options, **options},
        model=_model(spec.model, flags),
        data=_data(spec.data, flags, reads_texts="texts" in plugin.takes),
        **typed,
    )


def loaded_model(flags: Mapping[str, Any], progress: "Progress") -> "Model":
    """Load the model that the flags name, the default one where they name none."""
    from workbench.runs.models import shared_model

    return shared_model(_model(None, flags) or ModelRef(), progress)


def read_spec(path: str) -> RunSpec:
    """Read a spec from a TOML file.

    Raises:
        DataError: the file cannot be read.
        BadOption: it is not a spec.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}", hint="check the path") from error
    return RunSpec.from_toml(text)


def _model(base: ModelRef | None, flags: Mapping[str, Any]) -> ModelRef:
    values = {"name": flags["model"], **{key: flags[key] for key in _MODEL_KEYS[1:]}}
    return replace(base or ModelRef(), **{k: v for k, v in values.items() if v is not None})


def _data(base: DataRef, flags: Mapping[str, Any], *, reads_texts: bool) -> DataRef:
    sources = [f"--{key}" for key in ("text", "data", "activations", "task") if flags[key]]
    if len(sources) > 1:
        raise InputError(f"{' and '.join(sources)} were both given", hint="choose one input")
    values = {key: flags[key] for key in _DATA_KEYS if flags[key] is not None}
    if flags["text"]:
        values |= {"texts": tuple(map(typed, flags["text"])), "path": "", "activations": ""}
    elif flags["data"]:
        values |= {"path": flags["data"], "texts": (), "activations": ""}
    elif flags["activations"]:
        values |= {"path": "", "texts": ()}
    data = replace(base, **values) if sources or values else base
    is_told = data.texts or data.path or data.activations or data.task
    return data if is_told or not reads_texts else replace(data, path=_default_input())


def _default_input() -> str:
    if stdin_is_piped():
        say("reading texts from standard input")
        return "-"
    say("no input was given: using the prompts that ship with the package (see --text and --data)")
    return SHIPPED_PROMPTS


def stdin_is_piped() -> bool:
    """Whether standard input is a pipe or a file with something in it."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or (stat.S_ISREG(mode) and os.fstat(sys.stdin.fileno()).st_size > 0)
