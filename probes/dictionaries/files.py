"""Dictionaries in files: the format of SAELens, from a folder, the hub or our own checkpoints."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from probes.dictionaries.dictionary import Dictionary, Scaling
from workbench.errors import ModelError, ModelNotFound, Unsupported
from workbench.model.hub import fetch_files
from workbench.model.site_patterns import SitePattern
from workbench.model.spec import ModelSpec
from workbench.progress import Progress, silent
from workbench.training.checkpoint import WEIGHTS
from workbench.training.shipped import find_checkpoint

RECIPE = "dictionary"
CONFIG = "cfg.json"
_WEIGHTS = ("sae_weights.safetensors", WEIGHTS)
_SCALINGS = get_args(Scaling)
_HOOK = re.compile(r"blocks\.(\d+)\.(?:hook_)?(resid_pre|resid_mid|resid_post|attn_out|mlp_out)")


def find_dictionary(place: str, spec: ModelSpec, *, progress: Progress = silent) -> Dictionary:
    """Read a dictionary of a folder or hub id (`OWNER/NAME:FOLDER`), or the one that ships.

    Raises:
        ModelNotFound: nothing is there, or none ships for this model.
        ModelError: the files are damaged, or for states of another width.
        Unsupported: an architecture or normalisation that is not read.
    """
    found = read_dictionary(_folder(place, spec, progress))
    if found.d_model != spec.d_model:
        raise ModelError(
            f"the dictionary is for states of width {found.d_model}; {spec.name} has {spec.d_model}"
        )
    return found


def site_of(place: str, spec: ModelSpec) -> SitePattern:
    """Return the site of a dictionary, reading no weights; a third up where there is none yet."""
    try:
        config = json.loads((_folder(place, spec, silent) / CONFIG).read_bytes())
        return _site({**config, **(config.get("metadata") or {})})
    except (ModelError, ValueError, OSError, AttributeError):
        # What is wrong with it is told when it is loaded.
        return SitePattern.parse(f"resid_post.{spec.n_layers // 3}")


def read_dictionary(folder: Path) -> Dictionary:
    """Read a folder of `cfg.json` and `sae_weights.safetensors` (or our `weights.safetensors`).

    Raises:
        ModelNotFound: a file is missing.
        ModelError: a file is damaged or lacks something.
        Unsupported: an architecture or normalisation that is not read.
    """
    weights = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if weights is None or not (folder / CONFIG).is_file():
        raise ModelNotFound(
            f"{folder} holds no dictionary; expected {CONFIG} and {_WEIGHTS[0]}",
            hint="for a hub repository with several write OWNER/NAME:FOLDER",
        )
    try:
        config = json.loads((folder / CONFIG).read_bytes())
        tensors = load_file(weights)
        return _built(config, {name: x.float() for name, x in tensors.items()})
    except (ValueError, TypeError, AttributeError, KeyError, SafetensorError) as error:
        raise ModelError(f"the dictionary in {folder} is damaged: {error!r}") from error


def config_of(found: Dictionary, model: str) -> dict[str, Any]:
    """Return the `cfg.json` of a dictionary of top-k features."""
    hook = f"blocks.{found.site.layers}.hook_{found.site.kind}"
    return {
        "architecture": "topk",
        "d_in": found.d_model,
        "d_sae": found.n_features,
        "k": found.k,
        "dtype": "float32",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "metadata": {"hook_name": hook, "model_name": model},
    }


def _built(config: dict[str, Any], tensors: dict[str, Tensor]) -> Dictionary:
    about = {**config, **(config.get("metadata") or {})}
    architecture = about.get("architecture", "standard")
    given = about.get("activation_fn_kwargs") or {}
    activation = about.get("activation_fn_str") or about.get("activation_fn") or "relu"
    is_topk = architecture == "topk" or activation == "topk"
    scaling = about.get("normalize_activations") or "none"
    problems = []
    if architecture not in ("standard", "topk", "jumprelu"):
        problems.append(f"architecture {architecture!r}; standard, topk and jumprelu are read")
    if activation not in ("relu", "topk"):
        problems.append(f"activation {activation!r}; relu and topk are read")
    if scaling not in _SCALINGS:
        problems.append(f"normalize_activations {scaling!r}; {', '.join(_SCALINGS)} are read")
    if about.get("rescale_acts_by_decoder_norm") and is_topk:
        problems.append("rescale_acts_by_decoder_norm")
    if problems:
        raise Unsupported(f"a dictionary with {'; '.join(problems)}")
    return Dictionary(
        site=_site(about),
        encoder=tensors["W_enc"],
        decoder=tensors["W_dec"],
        bias=tensors["b_enc"],
        centre=tensors["b_dec"],
        threshold=tensors["threshold"] if architecture == "jumprelu" else None,
        k=int(about.get("k") or given.get("k") or 0) if is_topk else 0,
        is_centred=bool(about.get("apply_b_dec_to_input", True)),
        scaling=cast(Scaling, scaling),
    )


def _site(about: Mapping[str, Any]) -> SitePattern:
    hook = _HOOK.fullmatch(str(about.get("hook_name", "")))
    if hook is None:
        raise Unsupported(
            f"a dictionary of hook {about.get('hook_name')!r}",
            hint="blocks.N.hook_resid_post, and the like of the streams, attn_out and mlp_out",
        )
    return SitePattern.parse(f"{hook[2]}.{hook[1]}")


def _folder(place: str, spec: ModelSpec, progress: Progress) -> Path:
    if not place:
        hint = f"train one with the recipe {RECIPE}, or name one with --dictionary"
        return find_checkpoint(spec, RECIPE, what="dictionary", hint=hint)
    folder = Path(place).expanduser()
    return folder if folder.is_dir() else _from_hub(place, progress)


def _from_hub(place: str, progress: Progress) -> Path:
    name, _, inside = place.partition(":")
    wanted = [f"{inside}/{f}" if inside else f for f in (CONFIG, _WEIGHTS[0])]
    return fetch_files(name, wanted, progress=progress).parent


def as_tensors(found: Dictionary) -> dict[str, Tensor]:
    """Return the weights by the names of SAELens."""
    return {
        "W_enc": found.encoder,
        "W_dec": found.decoder,
        "b_enc": found.bias,
        "b_dec": found.centre,
    }


__all__ = ["RECIPE", "as_tensors", "config_of", "find_dictionary", "read_dictionary"]
