"""The same run as a command line, as Python and as TOML."""

import shlex
from dataclasses import fields, replace
from pprint import pformat
from typing import Any

from workbench.runs.spec import DataRef, ModelRef, RunSpec

_DATA_FLAGS = ("field", "label", "group", "limit", "activations", "task")
_MODEL_FLAGS = ("name", "backend", "device", "dtype")
_GRAPH_WORDS = {"discovery": "fit", "question": "ask", "refuter": "refute"}
_WORK_FLAGS = ("seed", "resamples", "max_tokens", "batch_tokens")


def as_command(spec: RunSpec) -> str:
    """Return a command line that makes the same run; `--spec` where flags cannot say it all."""
    if spec.kind in _GRAPH_WORDS:
        return shlex.join(_graph_words(spec))
    words = ["workbench", *_run_words(spec.kind), spec.name]
    if _needs_file(spec):
        return shlex.join([*words, "--spec", "run.toml"]) + "  # run.toml is the TOML below"
    words += _option_words(spec) + _data_words(spec.data)
    if spec.model is not None:
        words += _changed(spec.model, ModelRef(), _MODEL_FLAGS, {"name": "model"})
    words += _changed(spec, RunSpec(name=spec.name), _WORK_FLAGS, {})
    return shlex.join(words)


def as_python(spec: RunSpec) -> str:
    """Return Python that makes the same run and keeps it in the store."""
    spec = _unpinned(spec)
    names = ["RunSpec", "Store", "execute"]
    lines = [f"    name={spec.name!r},"]
    if spec.kind != "probe":
        lines.insert(0, f"    kind={spec.kind!r},")
    if spec.options:
        lines.append(f"    options={_indented(dict(spec.options), 4)},")
    if spec.model is None:
        lines.append("    model=None,")
    elif spec.model != ModelRef():
        lines.append(f"    model={_call(spec.model, ModelRef())},")
        names.append("ModelRef")
    if spec.data != DataRef():
        lines.append(f"    data={_call(spec.data, DataRef())},")
        names.append("DataRef")
    for name in ("graph", *_WORK_FLAGS):
        if getattr(spec, name) != getattr(RunSpec(name=spec.name), name):
            lines.append(f"    {name}={getattr(spec, name)!r},")
    head = f"from workbench import {', '.join(sorted(names, key=str.lower))}\n"
    body = "\n".join(["spec = RunSpec(", *lines, ")"])
    return f"{head}\n{body}\nrun = execute(spec, store=Store())\nrun.result\n"


def as_toml(spec: RunSpec) -> str:
    """Return the spec as TOML; `--spec FILE` of its command reads it."""
    return spec.to_toml()


def _run_words(kind: str) -> tuple[str, ...]:
    from app.cli.run_plugin import RUN_WORDS

    return RUN_WORDS[kind]


def _needs_file(spec: RunSpec) -> bool:
    quiet = {f.name for f in fields(ModelRef)} - {*_MODEL_FLAGS, "sha256"}
    model = spec.model or ModelRef()
    has_more = any(getattr(model, name) != getattr(ModelRef(), name) for name in quiet)
    odd = any("\0" in text for text in spec.data.texts)
    return has_more or odd or sum(map(len, spec.data.texts)) > 4000


def _graph_words(spec: RunSpec) -> list[str]:
    words = ["workbench", "causal", _GRAPH_WORDS[spec.kind], spec.name]
    words += [spec.graph] if spec.graph else []
    words += ["--table", spec.data.path] if spec.data.path else []
    return words + _option_words(spec) + _changed(spec, RunSpec(name=spec.name), ("seed",), {})


def _option_words(spec: RunSpec) -> list[str]:
    from app.cli.option_flags import flags_of, parameter
    from app.cli.run_flags import SPEC_FLAGS
    from app.cli.run_graph import taken_names
    from app.cli.run_plugin import OUTPUT_FLAGS
    from workbench.methods.registry import find
    from workbench.options import build, plain

    plugin = find(spec.kind, spec.name)
    taken = {name.removeprefix("--") for flag in (*SPEC_FLAGS, *OUTPUT_FLAGS) for name in flag.opts}
    taken = taken_names(plugin) if spec.kind in _GRAPH_WORDS else taken | {"help"}
    flags = {flag.name: flag for flag in flags_of(plugin.options, taken=taken)}
    standard = plain(build(plugin.recipe, {}))
    words: list[str] = []
    for info in plugin.options:
        value = spec.options.get(info.name)
        if value is None or value == standard.get(info.name):
            continue
        flag = flags[parameter(info)]
        if isinstance(value, bool):
            words.append(flag.opts[-1] if value else flag.secondary_opts[-1])
        else:
            items = value if isinstance(value, list | tuple) else [value]
            words += [word for item in items for word in (flag.opts[-1], str(item))]
    return words


def _data_words(data: DataRef) -> list[str]:
    words = [word for text in data.texts for word in ("--text", text)]
    if data.path:
        words += ["--data", data.path]
    return words + _changed(data, DataRef(), _DATA_FLAGS, {})


def _changed(given: Any, standard: Any, names: tuple[str, ...], flags: dict[str, str]) -> list[str]:
    words = []
    for name in names:
        value = getattr(given, name)
        if value is not None and value != getattr(standard, name):
            words += [f"--{flags.get(name, name).replace('_', '-')}", str(value)]
    return words


def _unpinned(spec: RunSpec) -> RunSpec:
    # The hashes of files are filled in again, from the files as they are then.
    model = spec.model and replace(spec.model, sha256="")
    return replace(spec, model=model, data=replace(spec.data, sha256=""), pins={})


def _call(given: Any, standard: Any) -> str:
    parts = [
        f"{f.name}={_indented(getattr(given, f.name), 8)}"
        for f in fields(given)
        if getattr(given, f.name) != getattr(standard, f.name)
    ]
    return f"{type(given).__name__}({', '.join(parts)})"


def _indented(value: Any, by: int) -> str:
    return pformat(value, width=88 - by, sort_dicts=False).replace("\n", "\n" + " " * by)
