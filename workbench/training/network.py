"""A causal transformer run with gradients or with a cache: vectors in, last states out."""

import copy
from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from workbench.model.caches import new_key_value_cache, select_cache
from workbench.model.finite import see_states
from workbench.model.model import Model
from workbench.model.module_paths import find_paths
from workbench.training.adapter import Adapter, LoraShape
from workbench.training.weights import copies, take_over


@runtime_checkable
class Tuning(Protocol):
    """Weights tuned on a model and kept apart from it: all of them copied, or an adapter."""

    @property
    def module(self) -> Any:
        """The transformers model that carries the weights."""

    def parameters(self) -> dict[str, nn.Parameter]:
        """The weights that train, by name."""

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """Copies of the weights as a checkpoint holds them."""

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over weights that `tensors` returned."""


class FullTuning:
    """All weights of a model, copied, to be trained apart from it."""

    def __init__(self, base: Model) -> None:
        """Copy the weights in float32."""
        self._module: Any = copy.deepcopy(base.backend.module).float().eval()
        self._module.requires_grad_(True)

    @property
    def module(self) -> Any:
        """The copied transformers model."""
        return self._module

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return every weight once, tied ones under their first name."""
        return dict(self._module.named_parameters())

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """Return copies of the weights, names behind `prefix`."""
        return copies(self.parameters(), prefix)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over weights that `tensors` returned.

        Raises:
            ModelError: names or shapes differ.
        """
        take_over(self.parameters(), tensors, hint="train them again on this model")


def tuning(
    base: Model, lora: LoraShape | None, *, generator: torch.Generator, suffix: str
) -> Tuning:
    """Return fresh weights to tune on a model: an adapter, or without a shape a full copy."""
    if lora is None:
        return FullTuning(base)
    return Adapter(base, lora, generator=generator, suffix=suffix)


class Network:
    """The forward pass of a transformers causal language model: final-norm states and logits."""

    def __init__(self, module: Any) -> None:
        """Find the body and the head."""
        self.module = module
        self._body: Any = module.base_model
        self._head: Any = module.get_output_embeddings()
        self._embedding: Any = module.get_input_embeddings()
        # Releases of transformers differ in what they call the cache.
        named = signature(self._body.forward).parameters
        self._cache_name = "cache" if "cache" in named else "past_key_values"

    @property
    def device(self) -> torch.device:
        """Where the input embeddings live."""
        return cast(torch.device, self._embedding.weight.device)

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the input embeddings."""
        return cast(torch.dtype, self._embedding.weight.dtype)

    @property
    def scale(self) -> float:
        """The root mean square of the token embeddings."""
        weight: Tensor = self._embedding.weight.detach().float()
        return float(weight.square().mean().sqrt())

    def embed(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        """Look token ids up in the input embedding."""
        return cast(Tensor, self._embedding(ids.to(self.device)))

    def states(
        self,
        embeds: Float[Tensor, "batch pos d_model"],
        mask: Bool[Tensor, "batch seen"],
        *,
        cache: Any = None,
    ) -> Float[Tensor, "batch pos d_model"]:
        """Run the blocks and the final norm; `mask` covers the cache and the new positions.

        Positions are counted over what the mask keeps, so holes in it leave no gap.
        """
        return cast(Tensor, self._run(embeds, mask, cache).last_hidden_state)

    def layers(
        self, embeds: Float[Tensor, "batch pos d_model"], mask: Bool[Tensor, "batch pos"]
    ) -> list[Tensor]:
        """Return what enters the first block, then each block's output; the last one is normed."""
        return list(self._run(embeds, mask, None, output_hidden_states=True).hidden_states)

    def norm(self, h: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """Apply the final norm."""
        return cast(Tensor, self.module.get_submodule(find_paths(self.module).norm)(h))

    def logits(
        self, states: Float[Tensor, "*batch d_model"], some: Int[Tensor, " token"] | None = None
    ) -> Float[Tensor, "*batch d_vocab"]:
        """Map normed states to logits, to those of some tokens only where they are named."""
        found: Tensor = self._head(states) if some is None else self._logits_of(states, some)
        logits = found.float()
        cap: float | None = getattr(self.module.config, "final_logit_softcapping", None)
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def _logits_of(self, states: Tensor, some: Tensor) -> Tensor:
        bias = None if self._head.bias is None else self._head.bias[some]
        return nn.functional.linear(states, self._head.weight[some], bias)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with those rows only, where something is kept for each row."""

    def freeze(self) -> "Network":
        """Let no gradient reach the weights."""
        self.module.requires_grad_(False)
        return self

    def _run(self, embeds: Tensor, mask: Tensor, cache: Any, **extra: Any) -> Any:
        positions = (mask.long().cumsum(dim=1) - 1).clamp(min=0)[:, -embeds.shape[1] :]
        named = {} if cache is None else {self._cache_name: cache}
        return self._body(
            inputs_embeds=embeds,
            attention_mask=mask.to(embeds.device),
            position_ids=positions.to(embeds.device),
            use_cache=cache is not None,
            **named,
            **extra,
        )


class CachedRun:
    """A batch of rows that grow position by position, nothing run twice."""

    def __init__(self, network: Network, rows: int) -> None:
        """Begin with empty rows."""
        self._network, self._cache = network, new_key_value_cache(network.module)
        self._mask = torch.zeros(rows, 0, dtype=torch.bool, device=network.device)

    @torch.no_grad()
    def append(
        self,
        embeds: Float[Tensor, "batch pos d_model"],
        mask: Bool[Tensor, "batch pos"] | None = None,
    ) -> Float[Tensor, "batch d_model"]:
        """Run new positions, right-padded, and return the state at each row's last real one."""
        mask = embeds.new_ones(embeds.shape[:2], dtype=torch.bool) if mask is None else mask
        mask = mask.to(self._mask.device)
        self._mask = torch.cat([self._mask, mask], dim=1)
        states = self._network.states(embeds, self._mask, cache=self._cache)
        last = mask.long().sum(dim=1) - 1
        found = states[torch.arange(len(states), device=states.device), last]
        see_states(found, model=type(self._network.module).__name__)
        return found

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with those rows only."""
        if len(rows) < len(self._mask):
            where = torch.tensor(list(rows), dtype=torch.long, device=self._mask.device)
            select_cache(self._cache, where)
            self._mask = self._mask[where]
            self._network.keep(rows)


def put(
    embeds: Float[Tensor, "batch pos d_model"],
    places: Sequence[tuple[int, int]],
    vectors: Float[Tensor, "n d_model"],
) -> Float[Tensor, "batch pos d_model"]:
    """Return embeddings with vectors at (row, position) places; gradients flow into both."""
    if not places:
        return embeds
    where = torch.tensor(places, device=embeds.device)
    return embeds.index_put((where[:, 0], where[:, 1]), vectors.to(embeds.dtype))
