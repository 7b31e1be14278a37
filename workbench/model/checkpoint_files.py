"""A folder of weights, looked at before anything in it is trusted."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import ModelError, ModelNotFound, Unsupported
from workbench.model.adapter_files import CONFIG, AdapterFiles, find_adapter
from workbench.model.hashing import count_tensors, unreadable

_AGAIN = "fetch or copy the file again"
_INDEX = "model.safetensors.index.json"
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True, kw_only=True)
class CheckpointFiles:
    """A model folder whose configuration and weight files have been checked.

    `adapter` lies beside the weights, or in the folder that named this one as its base model.
    """

    folder: Path
    config: dict[str, Any]
    weights: tuple[Path, ...]
    adapter: AdapterFiles | None = None


def check_folder(folder: Path, *, trust_remote_code: bool = False) -> CheckpointFiles:
    """Read a folder's configuration and make sure its weights can be loaded.

    Raises:
        ModelNotFound: the folder holds no model.
        ModelError: its files are damaged or incomplete.
        Unsupported: it holds pickled weights, custom code or no causal language model.
    """
    config = _read_config(folder)
    _check_architecture(folder, config, trust_remote_code=trust_remote_code)
    weights = _weight_files(folder)
    broken = [f"{path.name} ({why})" for path in weights if (why := unreadable(path))]
    if broken:
        raise ModelError(
            f"weights in {folder} cannot be read: {', '.join(broken)}",
            hint="fetch or copy the files again",
        )
    _check_layers(folder, config, weights)
    return CheckpointFiles(
        folder=folder, config=config, weights=weights, adapter=find_adapter(folder)
    )


def is_only_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and not the model it is for."""
    return (folder / CONFIG).exists() and not (folder / "config.json").exists()


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if is_only_adapter(folder):
        raise Unsupported(
            f"{folder} holds an adapter, not a model",
            hint="load its base model, or merge the adapter into it and save the result",
        )
    try:
        config = json.loads(path.read_text())
    except FileNotFoundError as error:
        ggufs = sorted(folder.glob("*.gguf"))
        raise ModelNotFound(
            f"{folder} holds no config.json, so it is not a model folder",
            hint=f"name the file itself: {ggufs[0]}" if ggufs else "give a transformers folder",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {error}", hint=_AGAIN) from error
    if not isinstance(config, dict):
        raise ModelError(
            f"{path} holds {type(config).__name__}; expected a JSON object", hint=_AGAIN
        )
    return config


def _check_architecture(folder: Path, config: dict[str, Any], *, trust_remote_code: bool) -> None:
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = str(config.get("model_type", ""))
    if "auto_map" in config and kind not in CONFIG_MAPPING:
        if not trust_remote_code:
            raise Unsupported(
                f"{folder} needs its own Python code to run",
                hint="read that code, then pass trust_remote_code=True",
            )
        return
    if kind not in CONFIG_MAPPING:
        raise Unsupported(
            f"{folder} has model type {kind!r}, which this transformers does not know",
            hint="give a transformers folder of a causal language model",
        )
    causal = set(_flat(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()))
    stated = [str(name) for name in config.get("architectures") or []]
    if config.get("is_encoder_decoder") or kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        fits = False
    else:
        fits = not stated or bool(causal & set(stated))
    if not fits:
        raise Unsupported(
            f"{folder} holds {', '.join(stated) or kind}, not a causal language model",
            hint="choose a model whose architecture ends in ForCausalLM or LMHeadModel",
        )


def _check_layers(folder: Path, config: dict[str, Any], weights: tuple[Path, ...]) -> None:
    """Refuse to build more layers than there are tensors, which memory may not hold."""
    layers = config.get("num_hidden_layers")
    if not isinstance(layers, int):
        return
    n_tensors = sum(map(count_tensors, weights))
    if layers > n_tensors:
        raise ModelError(
            f"{folder / 'config.json'} says {layers} layers, and the weights hold {n_tensors} "
            "tensors",
            hint=_AGAIN,
        )


def _flat(values: Any) -> list[str]:
    return [name for value in values for name in ((value,) if isinstance(value, str) else value)]


def _weight_files(folder: Path) -> tuple[Path, ...]:
    index = folder / _INDEX
    if index.exists():
        try:
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
            missing = [name for name in names if not (folder / name).is_file()]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelError(f"{index} cannot be read: {error!r}", hint=_AGAIN) from error
        if missing:
            raise ModelError(
                f"{folder} lacks {len(missing)} of {len(names)} weight files: "
                f"{', '.join(missing[:3])}",
                hint="fetch or copy the missing files",
            )
        return tuple(folder / name for name in names)
    if (folder / "model.safetensors").exists():
        return (folder / "model.safetensors",)
    raise _no_safetensors(folder)


def _no_safetensors(folder: Path) -> ModelError:
    pickled = sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLED)
    if pickled:
        return Unsupported(
            f"{folder} holds only pickled weights ({', '.join(pickled[:3])}), "
            "which can run code when they are opened",
            hint="save them as safetensors in an environment you trust: "
            "AutoModelForCausalLM.from_pretrained(...).save_pretrained(...)",
        )
    return ModelNotFound(
        f"{folder} holds no model.safetensors", hint="give a folder with safetensors weights"
    )
