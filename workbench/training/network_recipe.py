"""What recipes share that train a network, or adapters, on the problems of a task."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.result.result import Result
from workbench.training.presets import NetworkPreset
from workbench.training.run import TrainingRun
from workbench.training.splits import Splits, draw_splits

NetworkPresetT = TypeVar("NetworkPresetT", bound=NetworkPreset)


class NetworkRecipe(ABC, Generic[NetworkPresetT]):
    """A recipe that draws its problems from a task and can begin from nothing."""

    recipe: ClassVar[str]
    default_task: ClassVar[str]

    @abstractmethod
    def sizes(self, context: Context) -> NetworkPresetT:
        """Return the sizes of the preset with what is set on top."""

    @abstractmethod
    def learn(self, run: TrainingRun[NetworkPresetT], splits: Splits, context: Context) -> Result:
        """Train, keep the weights and report."""

    def train(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        """Begin a run on problems of the task, and learn from them."""
        preset, splits = self.sizes(context), self.splits(context)
        told = splits.told(preset.lora)
        run = TrainingRun.of(self, self.recipe, preset, model, context, **told)
        return self.learn(run, splits, context)

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
