"""Questions about one hidden entity, with exact beliefs about its class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.processes.latent_class import LatentClass, random_classes
from workbench.sampling.processes.sequences import SequenceTask


@register("task", "latent-class", source="Wang et al. 2025, arXiv:2504.04204")
@dataclass(frozen=True, kw_only=True)
class LatentClassSequences(SequenceTask):
    """Yes/no questions about one hidden entity, answered independently given its class.

    Each question is asked at most once, in random order, and followed by its answer. A sequence
    of an odd length ends in a question.

    Source: the synthetic case of adaptive elicitation, where every posterior is exact.
    """

    length: int = option(15, help="Questions and answers of a sequence.", low=1, high=128)
    classes: int = option(4, help="Classes of entities.", low=1, high=64)
    questions: int = option(12, help="Questions that can be asked.", low=1, high=64)
    process_seed: int = option(0, help="Seed of the answers by class.", low=0, high=2**31)

    def drawn_process(self) -> LatentClass:
        """Return the process that the options describe."""
        return random_classes(self.classes, self.questions, seed=self.process_seed)

    def read_process(self, values: Mapping[str, Any]) -> LatentClass:
        """Return the process that a row of a file describes."""
        return LatentClass.from_dict(values)
