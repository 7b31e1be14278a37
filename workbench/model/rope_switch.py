"""Rotary frequencies that depend on how long a text is, and the lengths at which they change."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

LONG, DYNAMIC = "longrope", "dynamic"


@dataclass(frozen=True, kw_only=True, eq=False)
class RopeSwitch:
    """Where the rotary frequencies of a model change with the length of its longest row.

    `long` are lengths beyond which one other set of frequencies holds (LongRoPE), `gradual`
    those beyond which every length has frequencies of its own (dynamic NTK); `remembering` are
    the modules that keep the frequencies of the longest text seen so far, each with what its
    attributes begin with.

    Source: Ding et al. 2024, arXiv:2402.13753 (LongRoPE); transformers `modeling_rope_utils`.
    """

    long: tuple[int, ...] = ()
    gradual: tuple[int, ...] = ()
    remembering: tuple[tuple[Any, str], ...] = ()

    def regime(self, length: int) -> tuple[int, ...]:
        """Name the frequencies that a text of that many tokens is run with."""
        return (
            *(int(length > switch) for switch in self.long),
            *(length if length > switch else 0 for switch in self.gradual),
        )

    def divides(self, lengths: Sequence[int]) -> bool:
        """Whether texts of those lengths need different frequencies."""
        return self.regime(min(lengths)) != self.regime(max(lengths))

    def forget(self) -> None:
        """Go back to the frequencies of short texts, so that no earlier text shows in a run."""
        for module, prefix in self.remembering:
            longest = f"{prefix}max_seq_len_cached"
            if getattr(module, longest, module.original_max_seq_len) != module.original_max_seq_len:
                short = getattr(module, f"{prefix}original_inv_freq")
                module.register_buffer(f"{prefix}inv_freq", short, persistent=False)
                setattr(module, longest, module.original_max_seq_len)


def rope_switch(model: nn.Module) -> RopeSwitch | None:
    """Find the modules whose frequencies depend on the length; None if there are none."""
    long: set[int] = set()
    gradual: set[int] = set()
    remembering = []
    for part in model.modules():
        kinds = getattr(part, "rope_type", None)
        for layer_type, kind in kinds.items() if isinstance(kinds, dict) else [(None, kinds)]:
            if kind == LONG:
                long.add(_original(part, layer_type))
            elif isinstance(kind, str) and DYNAMIC in kind:
                gradual.add(_shortest(part))
                remembering.append((part, "" if layer_type is None else f"{layer_type}_"))
    if not long and not gradual:
        return None
    return RopeSwitch(
        long=tuple(sorted(long)),
        gradual=tuple(sorted(gradual)),
        remembering=tuple(remembering),
    )


def _shortest(part: Any) -> int:
    return int(part.original_max_seq_len)


def _original(part: Any, layer_type: str | None) -> int:
    settings = part.config.rope_parameters
    settings = settings if layer_type is None else settings[layer_type]
    return int(settings["original_max_position_embeddings"])
