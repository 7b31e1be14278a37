"""Edits as typed: `OP:SITE[:VALUE[:SCALE]]`, or `run:RUN:DOSE` for those that a run keeps."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import BadEdit, DataError

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.model.edits import Edit
    from workbench.model.spec import ModelSpec

HELP = (
    "An edit at every step: ablate:mlp_out.3, scale:attn_out.5:0.5, "
    "add:resid_post.10:FILE.safetensors[key]:4 or project_out:resid_post.-1:FILE.safetensors[key]; "
    "heads after @, as in ablate:z.5@0,3; every layer as in ablate:mlp_out.*; "
    "run:RUN:DOSE is what a run such as steering found.  May be repeated."
)

_TENSOR = re.compile(r"(?P<path>.+)\[(?P<key>[^\[\]]+)\]")
_RUN = "run:"
_FORM = "OP:SITE[@HEADS][:VALUE[:SCALE]]"


def parse_edits(text: str, spec: "ModelSpec", store: Path | None = None) -> "tuple[Edit, ...]":
    """Read one edit, or those of every layer where the site is written `KIND.*`.

    `store` is the folder of the store that keeps the runs, by default the usual one.

    Raises:
        BadEdit: the text is not an edit, the operation cannot take the value, or a run keeps none.
        BadSite: the address does not parse, or the model lacks the layer.
        DataError: the file of the value cannot be read.
    """
    from workbench.model.edits import Edit, Op
    from workbench.model.site_patterns import expand

    if text.startswith(_RUN):
        return _of_run(text, spec, store)
    op, _, rest = text.partition(":")
    place, *values = rest.split(":")
    if op not in set(Op) or not place or len(values) > 2:
        raise BadEdit(
            f"{text!r} is not an edit; expected {_FORM} with OP one of {', '.join(Op)}",
            hint="ablate:mlp_out.3",
        )
    site, _, heads = place.partition("@")
    value, chosen = _value(values, text), _heads(heads, text)
    return tuple(
        Edit(site=found, op=Op(op), value=value, heads=chosen) for found in expand([site], spec)
    )


def _of_run(text: str, spec: "ModelSpec", store: Path | None) -> "tuple[Edit, ...]":
    """Return the edits that a run keeps, each times the dose that follows its id."""
    from workbench.runs.store import Store
    from workbench.runs.stored_edits import stored_edits

    run_id, _, dose = text.removeprefix(_RUN).partition(":")
    return stored_edits(Store(store).get(run_id), spec, _number(dose, text) if dose else 1.0)


def _heads(text: str, edit: str) -> tuple[int, ...] | None:
    if not text:
        return None
    try:
        return tuple(int(head) for head in text.split(","))
    except ValueError as error:
        raise BadEdit(f"{edit!r} names the heads {text!r}; expected numbers") from error


def _value(values: list[str], edit: str) -> "Tensor | float | None":
    if not values:
        return None
    scale = _number(values[1], edit) if len(values) == 2 else 1.0
    match = _TENSOR.fullmatch(values[0])
    if match is None:
        return _number(values[0], edit) * scale
    return _tensor(Path(match["path"]), match["key"]) * scale


def _number(text: str, edit: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise BadEdit(
            f"{edit!r} has the value {text!r}; expected a number or FILE.safetensors[key]"
        ) from error


def _tensor(path: Path, key: str) -> "Tensor":
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if key in names:
                found: Tensor = file.get_tensor(key)
                return found
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot read {path}: {error}", hint="give a safetensors file") from error
    raise DataError(f"{path} holds no tensor {key!r}; it holds {', '.join(names)}")
