"""What probes share of the states at which a task's choice questions are asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from workbench.errors import TooLittleData
from workbench.methods.contracts import Context
from workbench.model.model import Model
from workbench.model.site_patterns import expand
from workbench.model.sites import Site
from workbench.options import option
from workbench.sampling.choice_states import AskedItems, ask_task

_LIMIT = 200


@dataclass(frozen=True, kw_only=True)
class AskedStates:
    """Options of a probe that reads the states of questions, in parts that keep groups whole."""

    default_task: ClassVar[str] = "corr2cause?nodes=4"

    layers: str = option("*", help="Layers to read: all, or a slice such as 10:20:2.")
    n_folds: int = option(5, help="Parts of the groups, each held out once.", low=2, high=100)

    def asked(self, model: Model, context: Context) -> tuple[Sequence[Site], AskedItems]:
        """Ask the questions of the task; return the sites that were read, and what was found."""
        sites = expand([f"resid_post.{self.layers}"], model.spec)
        address = context.task or self.default_task
        return sites, ask_task(model, address, sites, context, limit=_LIMIT)


def fold_of(asked: AskedItems, n_folds: int, context: Context) -> Int[np.ndarray, " n"]:
    """Return the part of each question; groups stay whole and names of items decide nothing.

    Raises:
        TooLittleData: fewer groups than parts.
    """
    names, group = np.unique(asked.groups, return_inverse=True)
    if len(names) < n_folds:
        raise TooLittleData(
            f"{len(names)} groups of questions cannot be split into {n_folds} folds",
            hint="raise --limit, or lower --n-folds",
        )
    order = context.stream("question folds").permutation(len(names))
    return np.asarray((order % n_folds)[group])
