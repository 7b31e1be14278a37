"""One tiny random model of every model type that the zoo holds, built from its configuration."""

import dataclasses
from typing import Any

from torch import nn

from workbench.errors import UnknownName
from workbench.model.tiny import random_module
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.zoo_kinds import KINDS, SIZES

_SEED = 0


def zoo_names() -> tuple[str, ...]:
    """Return the names of the zoo: a model type, or `TYPE:VARIANT`."""
    return tuple(KINDS)


def zoo_module(name: str) -> nn.Module:
    """Build the random transformers model of that name, in evaluation mode, on the processor.

    Raises:
        UnknownName: the zoo holds no such model, or the installed transformers does not know it.
    """
    if name not in KINDS:
        raise UnknownName(f"no {name!r} in the zoo; it holds {', '.join(KINDS)}")
    return random_module(_config(name), _SEED, attn_implementation="eager")


def _config(name: str) -> Any:
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = name.partition(":")[0]
    if kind not in CONFIG_MAPPING:
        raise UnknownName(f"the installed transformers has no model type {kind!r}")
    known, other_names = _fields(CONFIG_MAPPING[kind])
    given = {key: value for key, value in SIZES.items() if key in known}
    for alias, field in other_names.items():
        if field in given:
            given.pop(alias, None)
    tokenizer = tiny_tokenizer()
    given |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "vocab_size": len(tokenizer)}
    return AutoConfig.for_model(kind, **(given | KINDS[name]))


def _fields(config: Any) -> tuple[set[str], dict[str, str]]:
    """Return what a configuration takes, and its second names of the same fields."""
    other_names: dict[str, str] = dict(getattr(config, "attribute_map", None) or {})
    return {f.name for f in dataclasses.fields(config)} | set(other_names), other_names
