"""From the arrays of a measured batch to plain numbers: one copy from the device, no padding."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from workbench.errors import NotFinite, PluginError
from workbench.methods.contracts import Example
from workbench.methods.per_unit import Measured, Numbers
from workbench.result.grid import LABELS
from workbench.result.levels import VALUE, mean_of_defined
from workbench.result.metric import Metric

Named = dict[tuple[str, str], NDArray[np.float64]]


def numbers_of(
    found: Measured, metrics: Mapping[str, Metric], mask: Bool[Tensor, "text pos"]
) -> Named:
    """Return every metric and control by (kind, metric); NaN stands on the padding.

    Raises:
        PluginError: a metric was not declared, or an array has another shape than its axes.
    """
    kinds = {VALUE: found.values, **found.controls}
    named = {(kind, name): x for kind, part in kinds.items() for name, x in part.items()}
    on_host, hidden = _copied(named), ~mask.cpu().numpy()
    for (kind, name), x in on_host.items():
        _check(kind, name, x.shape, metrics, hidden.shape)
        axes = metrics[name].axes
        if "position" in axes:
            place = 1 + axes.index("position")
            wide = [1] * x.ndim
            wide[0], wide[place] = hidden.shape
            np.copyto(x, np.nan, where=hidden.reshape(wide))
    return on_host


def check_infinite(named: Named, examples: Sequence[Example]) -> None:
    """Refuse infinity, which no average can hold; NaN is undefined and allowed.

    Raises:
        NotFinite: a metric is infinite; the message names the first texts.
    """
    for (kind, name), x in named.items():
        bad = np.flatnonzero(np.isinf(x).reshape(len(x), -1).any(axis=1))
        if len(bad):
            some = ", ".join(examples[i].source or f"row {i + 1}" for i in bad[:3])
            raise NotFinite(
                f"{name}{f' of control {kind}' if kind else ''} is infinite for {len(bad)} texts "
                f"({some})",
                hint="load the model in float32, or leave these texts out",
            )


def _copied(named: Mapping[tuple[str, str], Numbers]) -> Named:
    tensors = {key: x for key, x in named.items() if isinstance(x, Tensor)}
    found = {k: np.array(x, np.float64) for k, x in named.items() if not isinstance(x, Tensor)}
    by_kind: dict[tuple[torch.dtype, torch.device], list[tuple[str, str]]] = {}
    for key, x in tensors.items():
        by_kind.setdefault((x.dtype, x.device), []).append(key)
    for keys in by_kind.values():
        flat = torch.cat([tensors[key].detach().reshape(-1) for key in keys]).cpu().double()
        parts = flat.split([tensors[key].numel() for key in keys])
        for key, part in zip(keys, parts, strict=True):
            found[key] = part.numpy().reshape(tensors[key].shape).copy()
    return {key: found[key] for key in named}


def _check(
    kind: str,
    name: str,
    shape: tuple[int, ...],
    metrics: Mapping[str, Metric],
    batch: tuple[int, int],
) -> None:
    if name in LABELS:
        raise PluginError(f"{name!r} labels the grid and cannot be a metric", hint="rename it")
    if name not in metrics:
        raise PluginError(
            f"measure returned {name!r}, which is no declared metric; known: {', '.join(metrics)}"
        )
    axes = metrics[name].axes
    position = axes.index("position") + 1 if "position" in axes else None
    n_parts = int(metrics[name].of is not None)
    fits = len(shape) == 1 + len(axes) + n_parts and shape[0] == batch[0]
    if not fits or (position is not None and shape[position] != batch[1]):
        raise PluginError(
            f"{name} {f'of control {kind} ' if kind else ''}has the shape {shape}; expected "
            f"{batch[0]} texts by ({', '.join(axes)})"
            + (f" with {batch[1]} positions" if position is not None else "")
        )


def layer_by_position(x: Float[np.ndarray, "..."], metric: Metric) -> Float[np.ndarray, "..."]:
    """Average one text's numbers over all axes but layer and position."""
    rest = tuple(i for i, axis in enumerate(metric.axes) if axis not in ("layer", "position"))
    return mean_of_defined(x, axis=rest)
