"""The options that both contrastive recipes have."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.options import option
from workbench.result.result import Result


@dataclass(frozen=True, kw_only=True)
class ContrastRecipe(ABC):
    """Draws responses to the questions of a task and trains adapters on some of them."""

    default_task: ClassVar[str] = "arithmetic?steps=1&largest=30"

    preset: Literal["tiny", "cpu", "gpu"] = option("cpu", help="Sizes for that much compute.")
    questions: int | None = option(None, help="Questions to train on.", low=4, high=10**6)
    samples: int | None = option(None, help="Responses of a question.", low=2, high=4096)
    rank: int | None = option(None, help="Rank of the adapters.", low=1, high=1024)
    epochs: int | None = option(None, help="Passes over what is trained on.", low=1, high=1000)
    batch: int | None = option(None, help="Responses or pairs per step.", low=1, high=10_000)
    learning_rate: float | None = option(None, help="Highest learning rate.", low=1e-9, high=1.0)
    at_once: int | None = option(None, help="Rows of one forward pass.", low=1, high=4096)
    temperature: float = option(0.7, help="Sampling temperature.", low=0.01, high=5)
    top_p: float = option(0.95, help="Nucleus mass.", low=0.01, high=1)
    new_tokens: int = option(32, help="Limit of a response.", low=1, high=8192, unit="tokens")
    validation: float = option(0.2, help="Share of usable questions held out.", low=0.01, high=0.5)
    half: bool = option(True, help="Store the adapters in 16 bits.")

    @abstractmethod
    def train(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        """Train, keep the best weights by the validation split, and report both curves."""
