"""The state a stopped training run resumes from: one file, written whole."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from workbench.errors import StoreError
from workbench.training.checkpoint import write_whole

STATE = "training-state.safetensors"

_MOMENTS = ("exp_avg", "exp_avg_sq")
_AGAIN = "start over without resuming, or choose another folder"


@dataclass(kw_only=True)
class State:
    """How far training has come, its curves, and the best weights so far."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    validations: list[tuple[int, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def fresh(cls) -> "State":
        """Return the state before the first step."""
        return cls()


def write_state(
    folder: Path,
    identity: str,
    parameters: Mapping[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
    state: State,
) -> None:
    """Keep weights, optimiser moments, best weights and curves in one file.

    Raises:
        StoreError: the folder cannot be written to.
    """
    tensors: dict[str, Tensor] = {f"best/{n}": t for n, t in state.best.items()}
    for name, parameter in parameters.items():
        tensors[f"now/{name}"] = parameter.detach()
        for moment in _MOMENTS:
            known = optimiser.state[parameter].get(moment)
            if known is not None:
                tensors[f"{moment}/{name}"] = known
    story = {
        "identity": identity,
        "step": state.step,
        "losses": state.losses,
        "rates": state.rates,
        "validations": state.validations,
    }
    data = save(
        {n: t.cpu().contiguous() for n, t in tensors.items()}, metadata={"state": json.dumps(story)}
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / STATE, data)
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror or error}") from error


def read_state(
    folder: Path,
    identity: str,
    parameters: Mapping[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
) -> State | None:
    """Put weights and moments back and return the state; None when there is none.

    Raises:
        StoreError: the state is damaged, or belongs to another recipe, model or data.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            story = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{path} cannot be read: {error}", hint=_AGAIN) from error
    if story["identity"] != identity:
        raise StoreError(
            f"{path} belongs to another training run (other options, seed, model or data)",
            hint=_AGAIN,
        )
    _put_back(tensors, parameters, optimiser, story["step"])
    best = {
        name: tensors[f"best/{name}"].to(parameter.device) for name, parameter in parameters.items()
    }
    return State(
        step=story["step"],
        losses=list(story["losses"]),
        rates=list(story["rates"]),
        validations=[(int(s), float(v)) for s, v in story["validations"]],
        best=best,
    )


def _put_back(
    tensors: Mapping[str, Tensor],
    parameters: Mapping[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
    step: int,
) -> None:
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"now/{name}"])
            moments = {
                moment: tensors[f"{moment}/{name}"].to(parameter.device).clone()
                for moment in _MOMENTS
                if f"{moment}/{name}" in tensors
            }
            if moments:
                optimiser.state[parameter] = {"step": torch.tensor(float(step)), **moments}
