"""Adapters in PEFT's layout, beside a model or in a folder that names its base model."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from workbench.errors import EnvironmentProblem, ModelError, Unsupported
from workbench.model.hashing import file_hash, unreadable

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

_PICKLED = "adapter_model.bin"
_PREFIX = "base_model.model."
_NAME = ".default"


@dataclass(frozen=True, kw_only=True)
class AdapterFiles:
    """The configuration and weights of one adapter, looked at and whole."""

    folder: Path
    config: dict[str, Any]

    @property
    def base(self) -> str:
        """The name or path of the model it was trained on, empty if its files do not say."""
        return str(self.config.get("base_model_name_or_path") or "")

    @property
    def hash(self) -> str:
        """The sha256 of configuration and weights together."""
        parts = {name: file_hash(self.folder / name) for name in (CONFIG, WEIGHTS)}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def summary(self) -> str:
        """One line for people: kind, rank, where from, and the beginning of its hash."""
        kind, rank = self.config.get("peft_type") or "adapter", self.config.get("r")
        size = f" of rank {rank}" if rank else ""
        return f"{kind}{size} from {self.folder}, sha256 {self.hash[:16]}"

    def on(self, weights_hash: str) -> str:
        """Return the hash of these matrices on a model with that hash of its own."""
        return hashlib.sha256(f"{weights_hash} + {self.hash}".encode()).hexdigest()


def find_adapter(folder: Path) -> AdapterFiles | None:
    """Return the adapter in a folder, None if there is no file of one.

    Raises:
        ModelError: a file of it is missing or damaged.
        Unsupported: its weights are pickled.
    """
    there = [name for name in (CONFIG, WEIGHTS, _PICKLED) if (folder / name).exists()]
    if not there:
        return None
    if WEIGHTS not in there and _PICKLED in there:
        raise Unsupported(
            f"the adapter in {folder} has only pickled weights ({_PICKLED}), which can run code "
            "when they are opened",
            hint="save it as safetensors in an environment you trust, or remove it",
        )
    missing = [name for name in (CONFIG, WEIGHTS) if name not in there]
    if missing:
        raise ModelError(
            f"{folder} holds {' and '.join(there)} but no {missing[0]}: half an adapter",
            hint="copy the missing file, or remove the other to run the model without an adapter",
        )
    problem = unreadable(folder / WEIGHTS)
    if problem:
        raise ModelError(f"{folder / WEIGHTS} cannot be read: {problem}", hint="copy it again")
    return AdapterFiles(folder=folder, config=_read_config(folder / CONFIG))


def attach_adapter(module: Any, adapter: AdapterFiles, *, is_beside: bool) -> None:
    """Put the adapter on a transformers model, unless loading the folder did, and check it.

    Raises:
        EnvironmentProblem: PEFT is not installed.
        ModelError: a matrix of the file is not on the model, or one of the model's not in the file.
    """
    from transformers.utils.import_utils import is_peft_available

    if not is_peft_available():
        raise EnvironmentProblem(
            f"{adapter.folder} holds an adapter, and PEFT is not installed",
            hint="pip install peft, or remove the adapter's files",
        )
    if not is_beside:
        module.load_adapter(str(adapter.folder))
    given = {
        _stem(name.removeprefix(_PREFIX)): tensor
        for name, tensor in load_file(adapter.folder / WEIGHTS).items()
    }
    loaded = {
        _stem(name.replace(".modules_to_save", "").replace(_NAME, "", 1)): tensor
        for name, tensor in module.state_dict().items()
        if _NAME in name
    }
    wrong = sorted(given.keys() ^ loaded.keys())
    wrong += [n for n in given.keys() & loaded.keys() if not _are_same(given[n], loaded[n])]
    if wrong or not given:
        raise ModelError(
            f"the adapter in {adapter.folder} does not fit {type(module).__name__}: "
            f"{len(wrong)} matrices, {wrong[0] if wrong else 'none in the file'} first",
            hint=f"it was trained on {adapter.base or 'a model it does not name'}; merge it there "
            "and save the result",
        )


def _stem(name: str) -> str:
    # PEFT writes this one vector without its last word.
    return name.removesuffix(".weight") if "lora_magnitude_vector" in name else name


def _are_same(given: torch.Tensor, loaded: torch.Tensor) -> bool:
    if loaded.device.type == "meta":
        return given.shape == loaded.shape
    return given.shape == loaded.shape and torch.equal(given.to(loaded), loaded)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {error}", hint="copy the file again") from error
    if not isinstance(config, dict):
        raise ModelError(
            f"{path} holds {type(config).__name__}; expected a JSON object",
            hint="copy the file again",
        )
    return config
