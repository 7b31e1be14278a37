"""What a number is: its unit, its meaning, the axes it is spread over, and how it is drawn."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from workbench.result.pivots import Bounds

Axes = tuple[str, ...]
Statistic = Callable[[Float[np.ndarray, "*axes part"]], Float[np.ndarray, "*axes"]]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis beside layer, head and position: what it is, and the label of each place on it.

    Without labels places are counted from 0.
    """

    help: str
    unit: str = ""
    labels: tuple[int | float | str, ...] = ()

    def label(self, place: int) -> int | float | str:
        """Return the label of the k-th place."""
        return self.labels[place] if self.labels else place


LAYER = Axis(help="Layer whose output is read; −1 is the input of the first one.")
HEAD = Axis(help="Head, counted from 0.")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One quantity of a unit (a text, a problem), or one per layer, head or position of it.

    - `axes` name what it is spread over, in the order of its arrays. A position axis is averaged
      within each text; the values at each position of the shown texts stand in the grid.
    - `bounds` are values that it cannot leave: (0, 1) for a proportion.
    - `geometric`: it is given as its natural logarithm and told as a geometric mean.
    - `headline` is the part of the first axis that the estimate averages over, and None gives no
      estimate; `headline_note` says which part it is.
    - `skip_first` leaves the first position out of averages.
    - `strip` is the layer that a token strip shows; None is the mean over the headline part.
    - `is_averaged` is False where only the values at single positions have a meaning.
    - `of` makes it a function of sums over units, such as a ratio of two: its arrays have one
      more axis, the last, for what is summed. Its interval is that of leaving units out.
    """

    unit: str
    help: str
    axes: Axes = ("layer",)
    bounds: Bounds | None = None
    geometric: bool = False
    headline: tuple[int | None, int | None] | None = (None, None)
    headline_name: str = ""
    headline_note: str = ""
    skip_first: bool = False
    strip: int | None = None
    is_averaged: bool = True
    of: Statistic | None = None

    @property
    def unit_axes(self) -> Axes:
        """The axes of one unit's numbers after the average over positions."""
        return tuple(axis for axis in self.axes if axis != "position")

    @property
    def levels(self) -> tuple[Axes, ...]:
        """What is averaged over units: all axes of a unit, then one fewer, down to none."""
        if not self.is_averaged:
            return ()
        if self.of is not None:
            return (self.unit_axes,)
        return tuple(self.unit_axes[:n] for n in range(len(self.unit_axes), -1, -1))


@dataclass(frozen=True)
class Control:
    """What a number is compared with: a few words for the estimate, and what was done.

    One that is partial may be drawn for some units only: tables always tell for how many.
    """

    name: str
    help: str = ""
    is_partial: bool = False


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Metrics along one axis as curves, or one metric over two axes as a heat map.

    Over positions they are drawn for the shown texts, over all other axes for the averages. An
    axis of names gives bars; as the first of two it gives a curve for each name.
    `words` names the words of a heat map's cells.
    """

    title: str
    metrics: tuple[str, ...]
    axes: Axes = ("layer",)
    words: str = ""
    log_y: bool = False


def number(
    unit: str,
    words: str,
    *axes: str,
    bounds: Bounds | None = None,
    of: Statistic | None = None,
    name: str = "",
) -> Metric:
    """Return a metric of a study: an estimate called `name`, or one number per place of axes."""
    return Metric(
        unit=unit,
        help=words,
        axes=axes,
        bounds=bounds,
        of=of,
        headline=None if axes else (None, None),
        headline_name=name,
    )


def share(
    words: str,
    *axes: str,
    of: Statistic | None = None,
    name: str = "",
    unit: str = "proportion",
) -> Metric:
    """Return the metric of a study that lies between 0 and 1."""
    return number(unit, words, *axes, bounds=(0.0, 1.0), of=of, name=name)
