"""Probes that give numbers per text, per token or per (layer, position): what they declare.

Most probes are of this kind. One names its metrics, the axes each is spread over and its
controls; `measure` reads one batch of a trace. Batches, shards, averages, intervals, tables,
views, cautions and the grid of the shown texts belong to the core.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from workbench.methods.contracts import Context, Example
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Axis, Control, Metric, Plot
from workbench.result.result import Note
from workbench.result.samples import Samples
from workbench.result.tables import Column
from workbench.result.views import View

Numbers = Float[Tensor, "text ..."] | Float[np.ndarray, "text ..."]


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """One batch: each metric as `text *axes`, and the same under each control.

    A position axis has the layout of the trace's tokens; what stands on the padding is ignored.
    NaN is undefined and counts for nothing; a text that is NaN throughout was too short.
    `words` are token ids, `text layer position` or `text position`, told as text where the text
    is shown, and −1 for no word; `texts` likewise are text already. `arrays` are more of the text
    in row `arrays_of`, kept where it is the first one that is shown.
    """

    values: Mapping[str, Numbers]
    controls: Mapping[str, Mapping[str, Numbers]] = field(default_factory=dict)
    words: Mapping[str, Int[Tensor, "text ..."]] = field(default_factory=dict)
    texts: Mapping[str, NDArray[np.object_]] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    arrays_of: int = 0


class CutTexts:
    """A measure of texts that an option cuts to so many tokens."""

    longest: int

    @property
    def text_limit(self) -> int:
        """How many tokens of a text it looks at."""
        return self.longest


class PerUnit(ABC):
    """A probe that gives numbers per text, measured batch by batch.

    - `metrics`, `controls_of` (the first is the one beside the estimates), `plots` and
      `words_of` (and `axes_of` for axes of its own) say what `measure` returns and how it is shown.
    - `every_token` are options under which it measures every token of a text, `quick` more of
      them that leave out what is dear; `price` says how dear it is.
    - `shown_texts`, `shown_tokens` and `text_limit` may be replaced by what an option says.
    """

    metrics: ClassVar[Mapping[str, Metric]]
    controls_of: ClassVar[Mapping[str, Control]] = {}
    axes_of: ClassVar[Mapping[str, Axis]] = {}
    plots: ClassVar[tuple[Plot | View, ...]] = ()
    words_of: ClassVar[Mapping[str, Column]] = {}
    every_token: ClassVar[Mapping[str, Any]] = {}
    quick: ClassVar[Mapping[str, Any]] = {}

    @property
    def shown_texts(self) -> int:
        """How many texts, the first ones of the data, are shown token by token."""
        return 8

    @property
    def shown_tokens(self) -> int:
        """How many tokens of a shown text are shown, from its first on."""
        return 256

    @property
    def text_limit(self) -> int | None:
        """How many tokens of a text it looks at, None for all that were run."""
        return None

    def price(self, spec: ModelSpec) -> int:
        """How many passes over a text its work is worth, beside the one that reads its sites.

        Every pass it makes itself counts, and other work as the passes that take as long.
        """
        return 0

    def is_shown(self, example: Example) -> bool:
        """Whether that text is shown token by token."""
        return example.number < self.shown_texts

    def loaded(self, context: Context) -> "PerUnit":
        """Return the probe with what it reads once, before the first batch, such as weights."""
        return self

    @abstractmethod
    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        """The activations it reads."""

    @abstractmethod
    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        """Measure one batch; row i of the trace belongs to example i."""

    @abstractmethod
    def summary(self, found: Samples) -> str:
        """Say in one sentence what was found, with its interval, or that nothing was."""

    def notes(self, found: Samples) -> tuple[Note, ...]:
        """What must be said beside the numbers, apart from few, short and cut texts."""
        return ()


@dataclass(frozen=True, kw_only=True)
class ReadsAttention(CutTexts, PerUnit):
    """A probe that reads the attention pattern of every layer, of texts cut to so many tokens."""

    longest: int = option(96, help="Cut each text to so many.", low=3, high=1024, unit="tokens")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        """The pattern of every layer that has one."""
        return every_layer(Kind.ATTN_PATTERN, spec)
