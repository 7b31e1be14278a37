"""Where a model runs and in which number format."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from workbench.config import settings
from workbench.errors import BadOption, EnvironmentProblem

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}
ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")

DeviceMap = str | Mapping[str, int | str] | None


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A checked choice of device, number format and attention implementation.

    `dtype` None keeps the checkpoint's own format. With a `device_map` the layers are spread
    over devices, host memory and disk, and `device` is not used.
    """

    device: torch.device
    dtype: torch.dtype | None
    device_map: DeviceMap = None
    attention: str | None = None

    def arguments(self) -> dict[str, Any]:
        """Return what transformers wants to be told when it loads weights."""
        spread: dict[str, Any] = {}
        if self.device_map is not None:
            folder = settings().cache / "offload"
            spread = {"device_map": self.device_map, "offload_folder": str(folder)}
        attention = {"attn_implementation": self.attention} if self.attention else {}
        return {"dtype": self.dtype or "auto", **attention, **spread}


def choose_placement(
    device: str = "auto",
    dtype: str = "auto",
    device_map: DeviceMap = None,
    attention: str | None = None,
) -> Placement:
    """Check the words a person chose; `auto` takes the best device this machine has.

    On a CPU `auto` means float32: half precision is slower there, and bfloat16 changes about
    one top token in thirty. Elsewhere it means the checkpoint's own format.

    Raises:
        BadOption: a word that means nothing here, all of them at once.
        EnvironmentProblem: the device exists in principle but not on this machine.
    """
    problems = [
        *_unless(dtype == "auto" or dtype in DTYPES, "dtype", dtype, ("auto", *DTYPES)),
        *_unless(attention in (None, *ATTENTION), "attention", attention, ATTENTION),
        *_device_map_problems(device_map, device),
    ]
    wanted = settings().device if device == "auto" else device
    try:
        chosen = best_device() if wanted == "auto" else torch.device(wanted)
    except RuntimeError:
        chosen = torch.device("cpu")
        problems.append(f"device is {wanted!r}; expected auto, cpu, cuda, cuda:N or mps")
    if problems:
        raise BadOption("; ".join(problems))
    _check_present(chosen)
    number = DTYPES.get(dtype)
    if dtype == "auto" and chosen.type == "cpu" and device_map is None:
        number = torch.float32
    return Placement(device=chosen, dtype=number, device_map=device_map, attention=attention)


def best_device() -> torch.device:
    """Return the first CUDA device, else Apple's, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda:0")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _unless(fine: bool, option: str, given: object, known: tuple[str, ...]) -> list[str]:
    return [] if fine else [f"{option} is {given!r}; expected one of {', '.join(known)}"]


def _device_map_problems(device_map: DeviceMap, device: str) -> list[str]:
    if device_map is None:
        return []
    known = isinstance(device_map, Mapping) or device_map in DEVICE_MAPS
    problems = _unless(known, "device_map", device_map, (*DEVICE_MAPS, "a mapping"))
    if device != "auto":
        problems.append(f"device {device!r} and device_map were both given; expected one of them")
    return problems


def _check_present(device: torch.device) -> None:
    present = {
        "cpu": True,
        "meta": False,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not present.get(device.type, False):
        raise EnvironmentProblem(
            f"device {str(device)!r} was asked for; this machine offers {best_device()}",
            hint='use device="auto", or install a torch built for that device',
        )
