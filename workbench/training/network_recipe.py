"""What recipes share that train a network, or adapters, on the problems of a task."""

from abc import ABC, abstractmethod
from typing import ClassVar

from workbench.methods.contracts import Context
from workbench.model.model import Model
from workbench.training.presets import NetworkPreset
from workbench.training.splits import Splits, draw_splits


class NetworkRecipe(ABC):
    """A recipe that draws its problems from a task and can begin from nothing."""

    default_task: ClassVar[str]

    @abstractmethod
    def sizes(self, context: Context) -> NetworkPreset:
        """Return the sizes of the preset with what is set on top."""

    def splits(self, context: Context) -> Splits:
        """Draw the problems to learn from, to choose by and to evaluate on."""
        sizes = self.sizes(context)
        return draw_splits(
            context.task or self.default_task,
            sizes.problems,
            sizes.held_out,
            context,
            evaluated=sizes.evaluated,
        )

    def base_model(self, context: Context) -> Model | None:
        """Return the random network to begin with, None to begin with the model named."""
        sizes = self.sizes(context)
        return self.splits(context).network(sizes.shape, context.seed) if sizes.scratch else None
