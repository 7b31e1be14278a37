"""Where a mean over units is largest or smallest, in words."""

import numpy as np

from workbench.result.samples import Samples


def largest(found: Samples, metric: str) -> str:
    """Return the place of the largest mean and the mean, as in `head 3 of layer 2 (0.81)`."""
    return _peak(found, metric, sign=1)


def smallest(found: Samples, metric: str) -> str:
    """Return the place of the smallest mean and the mean, as in `layer 2 (0.0121)`."""
    return _peak(found, metric, sign=-1)


def _peak(found: Samples, metric: str, *, sign: int) -> str:
    mean = found.mean(metric).value
    if not np.isfinite(mean).any():
        return "none"
    place = np.unravel_index(int(np.nanargmax(sign * mean)), mean.shape)
    axes = found.metrics[metric].unit_axes
    words = [f"{a} {found.axes_of[a].label(int(i))}" for a, i in zip(axes, place, strict=True)]
    return f"{' of '.join(reversed(words))} ({mean[place]:.3g})"
