"""What a method is given beside its data: the texts, the model, the seed and where to write."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.errors import InputError
from workbench.model.edits import Edit
from workbench.model.gradients import Gradients, Score, gradients
from workbench.model.model import Model
from workbench.model.sites import Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens
from workbench.model.trace import Trace
from workbench.progress import Progress, silent


@dataclass(frozen=True, kw_only=True)
class Example:
    """One input text with its label, group and other fields; `source` is `file:line`.

    `number` counts the usable rows of the data from 0.
    """

    text: str
    label: str | float | None = None
    group: str = ""
    source: str = ""
    number: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Context:
    """What a method is given beside its data.

    `run` is `Model.run`, for methods that run a batch again with edits or other tokens. `model`
    is the model itself, for what is computed from its weights.
    `unembed(h, normed=False)` maps residual-stream states to logits. `stream(name)` returns a
    generator that depends on the seed and the name only, so that adding one use of randomness
    never shifts another. `task` and `limit` are for studies that draw their own problems.
    `scratch` is a folder that survives until the run is complete: what a study writes there lets
    it resume, unless `resume` is off; for a recipe it is the folder of the checkpoint. `store` is
    the folder of the store that keeps the run.
    """

    spec: ModelSpec | None = None
    unembed: Callable[..., Tensor] | None = None
    decode: Callable[..., str] | None = None
    run: Callable[..., Trace] | None = None
    model: Model | None = None
    seed: int = 0
    resamples: int = 1000
    progress: Progress = silent
    task: str = ""
    limit: int | None = None
    scratch: Path | None = None
    store: Path | None = None
    resume: bool = True

    @property
    def folder(self) -> Path:
        """The folder of the run.

        Raises:
            InputError: the run is kept nowhere.
        """
        if self.scratch is None:
            raise InputError(
                "training needs a place for its weights; none was given",
                hint="execute(spec, store=Store())",
            )
        return self.scratch

    @classmethod
    def of(cls, model: Model, **known: Any) -> "Context":
        """Return the context of work on a model; `known` are the other fields."""
        return cls(**known).on(model)

    def on(self, model: Model) -> "Context":
        """Return the same context with what a model offers."""
        return replace(
            self,
            spec=model.spec,
            unembed=model.unembed,
            decode=model.decode,
            run=model.run,
            model=model,
        )

    def rerun(self, tokens: Tokens, **asked: Any) -> Trace:
        """Run a batch again, as `Model.run` does; `InputError` where there is no model."""
        if self.run is None:
            raise InputError("this probe runs the model again", hint="give texts, not activations")
        return self.run(tokens, **asked)

    def gradients(
        self, tokens: Tokens, score: Score, *, at: Sequence[Site | str], edits: Sequence[Edit] = ()
    ) -> Gradients:
        """Differentiate what the logits of a batch score; `InputError` where there is no model."""
        return gradients(self.loaded, tokens, score, at=at, edits=edits)

    @property
    def loaded(self) -> Model:
        """The model.

        Raises:
            InputError: there is none, as for an activation file.
        """
        if self.model is None:
            raise InputError("this probe needs the model", hint="give texts, not activations")
        return self.model

    def stream(self, name: str) -> np.random.Generator:
        """Return the generator of that name."""
        return np.random.default_rng([self.seed, *name.encode()])

    def torch_stream(self, name: str) -> torch.Generator:
        """Return the generator of that name for tensors."""
        return torch.Generator().manual_seed(int(self.stream(name).integers(2**62)))
