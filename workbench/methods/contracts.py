"""What a plugin is: the protocols that `execute` drives.

A probe comes in one of three shapes, told apart by the method it has:

- a *measure* (`start`) adds up statistics over a stream of traces, in memory that does not
  grow with the number of tokens;
- a *readout probe* (`fit`) learns from labelled vectors; splits, controls and scores are added
  by `workbench.methods.evaluate`, so it cannot forget its baseline;
- a *study* (`study`) drives the model itself: rollouts, decoding, interventions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from workbench.errors import FitError
from workbench.methods.context import Context as Context
from workbench.methods.context import Example as Example
from workbench.model.activations import Activations
from workbench.model.model import Model
from workbench.model.sites import Site
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.result.chain import Chain
from workbench.result.result import Result
from workbench.result.tables import Table


@runtime_checkable
class Accumulator(Protocol):
    """The running statistics of a measure.

    An accumulator is its state: merging the state of one into an empty one gives the same
    accumulator, and merging those of two halves of the data in order gives that of the whole.
    """

    def add(self, trace: Trace, examples: Sequence[Example]) -> None:
        """Count one batch; row i of the trace belongs to example i."""

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Return the whole state."""

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Add a state of the data that came after; each array is read when it is asked for."""

    def result(self, context: Context) -> Result:
        """Turn the statistics into estimates, tables and views."""


@runtime_checkable
class Measure(Protocol):
    """A probe that adds up statistics over a stream of traces."""

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        """The activations it reads."""

    def start(self, context: Context) -> Accumulator:
        """Begin counting."""


@runtime_checkable
class Readout(Protocol):
    """A fitted map from a vector to a score per class, or to a number."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of the scores; empty for a numeric target."""

    def scores(self, x: Float[Tensor, "n d_model"]) -> Float[Tensor, "n n_class"]:
        """Return log-odds or class scores, one column per class (one column if numeric)."""


@runtime_checkable
class StoredReadout(Protocol):
    """A readout that can be written down."""

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return its weights by name, in the space of the activations."""


@runtime_checkable
class ReadoutProbe(Protocol):
    """A probe that learns a readout from labelled vectors."""

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        """The activations it is fitted on, each on its own; one vector per text each."""

    def fit(self, data: Activations) -> Readout:
        """Learn from the training split."""


@runtime_checkable
class FitsMany(ReadoutProbe, Protocol):
    """A readout probe that learns several labellings of the same vectors in one go."""

    def fit_each(
        self, data: Activations, labels: Sequence[NDArray[np.generic]]
    ) -> Sequence[Readout]:
        """Learn from the training split under each labelling, as `fit` does from one."""


@runtime_checkable
class ScaleFree(Protocol):
    """A readout probe that may not mind the size of its vectors."""

    is_scale_free: ClassVar[bool]
    """Whether its scores stay what they are when all vectors are multiplied by one number."""


class Stopped(KeyboardInterrupt):
    """A study was stopped by the user after part of its work; carries the partial result."""

    def __init__(self, result: Result) -> None:
        """Keep what was found so far."""
        super().__init__("stopped by the user")
        self.result = result


class Unfitted(FitError):
    """No part of the work gave an estimate; carries what there is to say and why."""

    def __init__(self, message: str, *, result: Result, hint: str = "") -> None:
        """Keep tables and notes, which name every reason."""
        super().__init__(message, hint=hint)
        self.result = result


@runtime_checkable
class Study(Protocol):
    """A probe that drives the model itself.

    Stopped by the user, it raises `Stopped` with what it has.
    """

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        """Run the model as the method needs and report."""


@runtime_checkable
class OnLabels(Protocol):
    """A study of labelled texts."""

    label_words: ClassVar[str]
    """What the labels are."""


@runtime_checkable
class OnTask(Protocol):
    """A study or recipe that works on problems of `Context.task` and is given no examples."""

    default_task: ClassVar[str]
    """The address of the task where none is named."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One problem as a reasoner is given it.

    `question` is the bare question, for networks trained on it; `ids` are the tokens that any
    other model is asked with, in its chat template where the task is a chat, and `stop_ids` end
    its response. The answer is not in it.
    """

    question: str
    ids: tuple[int, ...] = ()
    stop_ids: tuple[int, ...] = ()


@runtime_checkable
class Reasoner(Protocol):
    """A strategy that drives a model from prompts to chains.

    It is a frozen recipe with options. The rows of one call are a batch: row i must come out as
    it would alone, up to the rounding of the forward pass, and its randomness depends on
    `seeds[i]` only. Batches, grading, baselines and intervals are added by `execute`.
    """

    def solve(
        self, model: Model, prompts: Sequence[Prompt], *, seeds: Sequence[int], context: Context
    ) -> Sequence[Chain]:
        """Return one chain per prompt, in order.

        Raises:
            ModelNotFound: the strategy needs trained weights and there are none for this model.
        """


@runtime_checkable
class Discovery(Protocol):
    """A recipe that fits a graph to a table; the graph is `Result.graph`.

    A fit among several that gave nothing is a note with the code `UNFITTED`; where none gave
    anything, `fit` raises `Unfitted`.
    """

    def read(self, path: Path | None) -> Table:
        """Read the table from a file, or the one that ships with the package."""

    def fit(self, table: Table, context: Context) -> Result:
        """Fit and report, with the assumption behind every edge."""


@runtime_checkable
class Question(Protocol):
    """A question about a fitted graph: an intervention, a placement, a check against trials."""

    def ask(self, found: Result, table: Table, context: Context) -> Result:
        """Answer from the graph and the table it was fitted to."""


@runtime_checkable
class Refuter(Protocol):
    """A recipe that tries to break a fitted graph."""

    def check(self, found: Result, table: Table, context: Context) -> Result:
        """Disturb the data or the model and report what survives."""


@runtime_checkable
class Recipe(Protocol):
    """A description of a training run that yields a checkpoint.

    The checkpoint is written to `context.folder`, which also holds the state a stopped run resumes
    from: resumed or not, the same seed gives the same losses.
    """

    def train(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        """Train, keep the best weights by the validation split, and report both curves."""


@runtime_checkable
class NeedsWeights(Protocol):
    """A plugin that runs on weights trained for the model, beside the model's own."""

    def weights(self, model: Model) -> object:
        """Return those weights.

        Raises:
            ModelNotFound: there are none for this model.
        """


@runtime_checkable
class BringsModel(Protocol):
    """A recipe that can begin from nothing."""

    def base_model(self, context: Context) -> Model | None:
        """Return the network to train in place of the named model, None to train that one."""
