"""How much memory a device has."""

import torch

# What an accelerator holds that does not say.
_USUAL = 24 << 30
_HOST = ("cpu", "disk", "meta")


def device_memory(device: torch.device) -> int:
    """Return how many bytes an accelerator holds in all, free or not.

    What is free differs from run to run, and parts cut by it would round differently.
    """
    if device.type == "cuda" and torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(device).total_memory)
    return _USUAL


def accelerator_of(places: str) -> torch.device | None:
    """Return the first accelerator among the places of a model as its spec names them, if any."""
    for name in places.split(","):
        if name not in _HOST:
            return torch.device(f"cuda:{name}" if name.isdigit() else name)
    return None
