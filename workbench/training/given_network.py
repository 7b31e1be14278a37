"""A network that is given vectors beside its tokens: inside one block, and after the last one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.model.module_paths import find_paths
from workbench.training.network import Network


class GivenNetwork(Network):
    """A network whose positions 1 to k are replaced by vectors where they enter one block.

    Blocks before that one see the tokens alone, so that nothing needs to be differentiated
    there. A further vector of each row is added to its last states: h + σ(w·h + b) · v, by a
    gate for each position; w and b are `gate`, one after the other.
    """

    def __init__(self, module: Any, *, block: int, gate: Float[Tensor, " d_model_1"]) -> None:
        """Find the block; nothing is given yet."""
        super().__init__(module)
        self._block = module.get_submodule(f"{find_paths(module).layers}.{block}")
        self._gate = gate
        self._inside: Tensor | None = None
        self._beside: Tensor | None = None

    def give(
        self, inside: Float[Tensor, "batch k d_model"], beside: Float[Tensor, "batch d_model"]
    ) -> None:
        """Set the vectors of the rows that are run next."""
        self._inside, self._beside = inside, beside

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with those rows only, and with their vectors."""
        if self._beside is not None:
            self._beside = self._beside[list(rows)]

    def states(
        self,
        embeds: Float[Tensor, "batch pos d_model"],
        mask: Bool[Tensor, "batch seen"],
        *,
        cache: Any = None,
    ) -> Float[Tensor, "batch pos d_model"]:
        """Run blocks and norm; a pass of one position goes on after the vectors."""
        with self._replaced(is_first=embeds.shape[1] > 1):
            found = super().states(embeds, mask, cache=cache).float()
        if self._beside is None:
            return found
        gate = torch.sigmoid(found @ self._gate[:-1] + self._gate[-1])
        return found + gate[..., None] * self._beside[:, None]

    def logits(
        self, states: Float[Tensor, "*batch d_model"], some: Int[Tensor, " token"] | None = None
    ) -> Float[Tensor, "*batch d_vocab"]:
        """Map states to logits in the number format of the head."""
        return super().logits(states.to(self.dtype), some)

    @contextmanager
    def _replaced(self, *, is_first: bool) -> Iterator[None]:
        vectors = self._inside
        if vectors is None or not is_first:
            yield
            return

        def replace(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
            h = (given[0] if given else named["hidden_states"]).clone()
            h[:, 1 : 1 + vectors.shape[1]] = vectors.to(h.dtype)
            return ((h, *given[1:]), named) if given else (given, {**named, "hidden_states": h})

        handle = self._block.register_forward_pre_hook(replace, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()
