"""What every backend does alike: one pass over a twin of the model, embedding and unembedding."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.model.backend import Inputs, Outputs, Wanted
from workbench.model.backends.one_pass import Caller, Pass
from workbench.model.backends.twin import Ends, twin
from workbench.model.edits import Edit
from workbench.model.module_paths import find_paths
from workbench.model.points import ModulePaths
from workbench.model.sites import Kind, Site


class TwinBackend(ABC):
    """Runs a weight-sharing twin of a model; how it is read and edited is left open."""

    def __init__(self, module: nn.Module, tokenizer: Any, paths: ModulePaths | None = None) -> None:
        """Find the parts of the model.

        Raises:
            Unsupported: the architecture is not known.
        """
        self.paths = paths or find_paths(module)
        self.tokenizer = tokenizer
        self._ends = Ends(module, self.paths)

    @abstractmethod
    def run(self, step: Pass, wanted: Wanted) -> Tensor | None:
        """Run once, visiting every place of the pass, and return the logits that are wanted."""

    def forward(
        self, inputs: Inputs, *, read: Sequence[Site], edits: Sequence[Edit], logits: Wanted
    ) -> Outputs:
        """Run once; reads see the state after the edits at the same site."""
        step = Pass(inputs, read, edits)
        kept = step.finish(self.run(step, step.logits_needed(logits)), logits)
        return Outputs(logits=kept, captured=step.found(read))

    def embed(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        """Look token ids up in the input embedding."""
        return self._ends.embed(ids)

    def unembed(
        self, h: Float[Tensor, "*batch d_model"], *, normed: bool
    ) -> Float[Tensor, "*batch d_vocab"]:
        """Map residual-stream states to logits, through the final norm unless `normed`."""
        return self._ends.unembed(h, normed=normed)


class PlainBackend(TwinBackend):
    """Runs the transformers model itself, its parts where the paths say they are."""

    def __init__(self, module: nn.Module, tokenizer: Any, paths: ModulePaths | None = None) -> None:
        """Make a weight-sharing twin of the model and find its parts.

        Raises:
            Unsupported: the architecture is not known.
        """
        super().__init__(module, tokenizer, paths)
        self.module: Any = twin(module)
        self._call = Caller(self.module, self.paths)

    @property
    def plain(self) -> Any:
        """The transformers model; hooks are on it only while a pass runs."""
        return self.module

    def layers_with(self, kind: Kind) -> tuple[int, ...]:
        """Return the layers that have a site of that kind."""
        return self.paths.layers_with(kind)

    def supports(self, kind: Kind, *, edit: bool) -> bool:
        """Whether sites of that kind can be read (or edited) on this model."""
        return self.paths.supports(kind)
