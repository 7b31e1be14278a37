"""What a check needs of the model that it tries."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypedDict, Unpack, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from workbench.model.backend import Backend, Wanted
from workbench.model.edits import Edit
from workbench.model.rope_switch import RopeSwitch
from workbench.model.sites import Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens
from workbench.model.trace import Trace
from workbench.model.verdict import Verdict


class RunOptions(TypedDict, total=False):
    """What a check asks of one run, as `Model.run` takes it."""

    read: Sequence[Site | str]
    edits: Sequence[Edit]
    logits: Wanted
    embeds: Float[Tensor, "batch pos d_model"] | None


@runtime_checkable
class Subject(Protocol):
    """A model as checks see it; `Model` is the one implementation."""

    spec: ModelSpec
    tokenizer: Any
    backend: Backend
    switch: RopeSwitch | None
    lock: Any
    verdicts: dict[str, Verdict]
    is_checked: bool
    identity: str

    @property
    def checked_as(self) -> "Subject | None":
        """The model whose verdicts hold for this one as well."""

    @property
    def device(self) -> Any:
        """Where the input embeddings live."""

    def tokenize(
        self,
        texts: str | Sequence[str],
        *,
        side: Literal["left", "right"] = "right",
        limit: int | None = None,
    ) -> Tokens:
        """Turn texts into one batch."""

    def run(self, tokens: Tokens | str | Sequence[str], **asked: Unpack[RunOptions]) -> Trace:
        """Run once over a batch and record the sites asked for."""

    def embed(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        """Look token ids up in the input embedding."""
