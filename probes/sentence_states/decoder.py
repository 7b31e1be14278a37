"""A decoder that says how likely a sentence is given a state, and writes one from it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from probes.sentence_states.readout import standardised
from probes.sentence_states.written import NEVER
from workbench.errors import ModelError, ModelNotFound
from workbench.model.model import Model
from workbench.model.spec import ModelSpec
from workbench.training.adapter import Adapter, LoraShape
from workbench.training.checkpoint import Checkpoint
from workbench.training.given_network import GivenNetwork
from workbench.training.lines import block
from workbench.training.lora_codec import SentenceIds, by_length
from workbench.training.shipped import find_checkpoint, open_checkpoint
from workbench.training.writing import write

RECIPE = "sentence-decoder"
ADAPTER, STATE, OTHER = "adapter.", "state.", "other."
INSIDE = 2
LONGEST = 40
_TOKENS_AT_ONCE = 2048


@dataclass(frozen=True, kw_only=True, eq=False)
class SentenceDecoder:
    """The model with an adapter, given a state as two positions and as a shift of its logits.

    A state z of a layer, standardised, gives the code c = z · down[layer]; c · up + bias is what
    stands at positions 1 and 2 of one block, and c · beside, scaled by a gate for each position,
    is added to the last states. Without a state the code is zero, and the rest is the same.
    `layers` are those that can be read; `best` has the most to say on the validation part.
    `others` are codes of other sentences by layer, and `other_written` what is written of them.
    A written sentence is trusted from the agreement `trusted_from` with the readout of words on.
    """

    network: GivenNetwork
    ids: SentenceIds
    weights: Mapping[str, Tensor]
    layers: tuple[int, ...]
    best: int
    others: Mapping[int, Float[Tensor, "other rank"]] = field(default_factory=dict)
    other_written: tuple[str, ...] = ()
    trusted_from: float = 1.0

    @cached_property
    def place_of(self) -> dict[int, int]:
        """The place of each layer among those that can be read."""
        return {layer: i for i, layer in enumerate(self.layers)}

    def code(self, layer: int, states: Float[Tensor, "n d_model"]) -> Float[Tensor, "n rank"]:
        """Return the codes of the states of a layer."""
        at = self.place_of[layer]
        mean, scale = self.weights["mean"][at], self.weights["scale"][at]
        return standardised(states.to(mean.device), mean, scale) @ self.weights[f"down.{layer}"]

    def bare(self, n: int) -> Float[Tensor, "n rank"]:
        """Return the codes of no state."""
        return torch.zeros(n, self.weights["up"].shape[0], device=self.network.device)

    def give(self, codes: Float[Tensor, "n rank"]) -> None:
        """Let the network read these codes in its next pass."""
        inside = codes @ self.weights["up"] + self.weights["bias"]
        inside = inside.unflatten(1, (INSIDE, -1))
        self.network.give(inside, codes @ self.weights["beside"])

    def last_states(
        self, codes: Float[Tensor, "n rank"], rows: Sequence[Sequence[int]]
    ) -> tuple[Float[Tensor, "token d_model"], Tensor]:
        """Return the state before every token of every row, and the tokens, row after row."""
        ids, mask = block(rows, self.ids.pad)
        ids, mask = ids.to(self.network.device), mask.to(self.network.device)
        opened = ids.new_full((len(ids), 1 + INSIDE), self.ids.start)
        seen = torch.ones_like(opened, dtype=torch.bool)
        self.give(codes)
        with self.mixed():
            states = self.network.states(
                self.network.embed(torch.cat([opened, ids[:, :-1]], dim=1)),
                torch.cat([seen, mask[:, :-1]], dim=1),
            )
        return states[:, INSIDE:][mask], ids[mask]

    @torch.no_grad()
    def nats(
        self, codes: Float[Tensor, "n rank"], rows: Sequence[Sequence[int]]
    ) -> list[Float[Tensor, " token"]]:
        """Return −log p of every token of each row given its code, in nats."""
        found = [torch.zeros(0)] * len(rows)
        for some in by_length([len(row) + INSIDE for row in rows], _TOKENS_AT_ONCE):
            part = [rows[i] for i in some]
            h, tokens = self.last_states(codes[some], part)
            with self.mixed():
                logits = self.network.logits(h)
            losses = torch.nn.functional.cross_entropy(logits, tokens, reduction="none")
            for i, one in zip(some, losses.split([len(row) for row in part]), strict=True):
                found[i] = one.cpu()
        return found

    @torch.no_grad()
    def write(self, codes: Float[Tensor, "n rank"], limit: int = LONGEST) -> list[str]:
        """Write the likeliest sentence of each code, token by token."""
        if not len(codes):
            return []
        self.give(codes)
        n = len(codes)
        ids = torch.full((n, 1 + INSIDE), self.ids.start, device=self.network.device)
        mask = torch.ones_like(ids, dtype=torch.bool)
        with self.mixed():
            embeds = self.network.embed(ids)
            found = write(self.network, embeds, mask, stop=(self.ids.stop,), limit=limit)
        return [self.ids.text(one.ids) for one in found]

    def mixed(self) -> AbstractContextManager[object]:
        """Multiply in the number format of a model in half precision; sums stay in float32."""
        if self.network.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.network.device.type, self.network.dtype)


def decoder_of(
    adapter: Adapter,
    model: Model,
    weights: Mapping[str, Tensor],
    layers: Sequence[int],
    best: int,
    **more: Any,
) -> SentenceDecoder:
    """Join an adapted model with the weights that bring states to it; `more` are its fields."""
    first = adapter.shape.first_block
    if model.device.type == "cpu":
        # Batched products are faster than the fused kernel for sequences as short as sentences.
        adapter.module.set_attn_implementation("eager")
    return SentenceDecoder(
        network=GivenNetwork(adapter.module, block=first, gate=weights["gate"]),
        ids=SentenceIds(model.tokenizer),
        weights=weights,
        layers=tuple(layers),
        best=best,
        **more,
    )


def find_decoder(model: Model, folder: str = "") -> SentenceDecoder | None:
    """Return the decoder of a folder, or the one that ships for a model; None where none does.

    Raises:
        ModelError: it belongs to another model, or is damaged.
    """
    place = decoder_place(model.spec, folder)
    return None if place is None else _opened(model, place)


def decoder_place(spec: ModelSpec, folder: str = "") -> Path | None:
    """Return the folder that is named, or that of the decoder that ships; None where none does."""
    if folder:
        return Path(folder).expanduser()
    try:
        return find_checkpoint(spec, RECIPE, what="sentence decoder", hint="")
    except ModelNotFound:
        return None


@lru_cache(maxsize=2)
def _opened(model: Model, folder: Path) -> SentenceDecoder:
    found = open_checkpoint(model, folder, RECIPE)
    return restored(model, found)


def restored(model: Model, found: Checkpoint) -> SentenceDecoder:
    """Return the decoder that a checkpoint holds.

    Raises:
        ModelError: something is missing.
    """
    adapter = Adapter.restore(model, found, prefix=ADAPTER)
    options = found.manifest.options
    try:
        decoder = decoder_of(
            adapter,
            model,
            _on(model, found.part(STATE)),
            options["read"],
            int(options["best_layer"]),
            others={int(n): x for n, x in _on(model, found.part(OTHER)).items()},
            other_written=tuple(options["other_written"]),
            trusted_from=float(options.get("trusted_from", NEVER)),
        )
    except KeyError as error:
        raise ModelError(f"the decoder has no {error}", hint="train it again") from error
    decoder.network.freeze()
    return decoder


def _on(model: Model, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: x.float().to(model.device) for name, x in tensors.items()}


def shape_of(rank: int, first_block: int) -> LoraShape:
    """Return the shape of its adapter, on every projection from that block on."""
    return LoraShape(rank=rank, alpha=2.0 * rank, part="both", first_block=first_block)
