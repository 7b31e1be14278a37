"""What the training loop needs to train a tuned lens."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from probes.lens.metrics import LensMath, Translate, rows_at_once
from probes.lens.start import Moments, first_guess
from probes.lens.translator import TrainedTranslators, Translators
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context
from workbench.model.capabilities import require
from workbench.model.model import Model
from workbench.model.sites import Kind, every_layer
from workbench.model.tokens import pad

_ALIVE = 5  # tensors of rows × vocabulary alive at once, gradients among them


@dataclass(frozen=True, kw_only=True)
class LensOptions:
    """How much is read and trained: the part of a preset that the trainer needs.

    `rank` 0 is the full width. `positions` are drawn from each text and step; `start_tokens`
    go into the first guess (0: start from the identity).
    """

    rank: int
    positions: int
    start_tokens: int
    memory: int


@dataclass(frozen=True, eq=False)
class States:
    """States of some positions, one tensor per layer but the last, and the last layer's."""

    layers: list[Float[Tensor, "n d_model"]]
    final: Float[Tensor, "n d_model"]


class LensObjective:
    """KL of each layer's translated prediction from the model's own, mean over layers.

    Position 0 of every text is left out. The model is run anew for every step, which costs
    little beside the output head.
    """

    def __init__(
        self,
        model: Model,
        rows: Sequence[Sequence[int]],
        held_out: Sequence[Sequence[int]],
        options: LensOptions,
        context: Context,
    ) -> None:
        """Keep the token ids of training and validation texts, and make the first guess."""
        self.model, self.options, self.context = model, options, context
        self.rows = [row for row in rows if len(row) > 1]
        held_out = [row for row in held_out if len(row) > 1]
        if not self.rows or not held_out:
            raise TooLittleData(
                f"{len(self.rows)} training and {len(held_out)} validation texts have two tokens "
                "or more; expected at least one of each",
                hint="give more or longer texts",
            )
        self._sites = every_layer(Kind.RESID_POST, model.spec)
        draw = context.torch_stream("lens held out")
        self._held_out = self.states(held_out, draw)
        self.maps = TrainedTranslators(*self._start())

    @property
    def n_rows(self) -> int:
        """The number of training texts."""
        return len(self.rows)

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The maps by layer."""
        return dict(self.maps.named_parameters())

    def losses(self, rows: Sequence[int], generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the KL of each layer and chunk of positions, over the number of layers."""
        states = self.states([self.rows[i] for i in rows], generator)
        n, n_layers = len(states.final), len(states.layers)
        at_once = rows_at_once(self._budget, self.model.spec.d_vocab, _ALIVE)
        for part in torch.arange(n, device=states.final.device).split(at_once):
            with torch.no_grad():
                target = self._logits(states.final[part])
                p = target.softmax(dim=-1)
                negative_entropy = torch.linalg.vecdot(p, target) - target.logsumexp(dim=-1)
            for layer, h in enumerate(states.layers):
                z = self._logits(self.maps(layer, h[part.to(h.device)]))
                kl = negative_entropy - torch.linalg.vecdot(p, z) + z.logsumexp(dim=-1)
                yield kl.sum() / (n * n_layers)

    def validate(self) -> float:
        """Return the mean KL over layers at the validation positions, in nats."""
        return self._kl(self._held_out, self.maps.frozen())

    def states(self, rows: Sequence[Sequence[int]], generator: torch.Generator) -> States:
        """Run texts and keep a few positions of each, drawn at random."""
        trace = self.model.run(pad(rows).to(self.model.device), read=self._sites)
        where = []
        for row in rows:
            order = torch.randperm(len(row) - 1, generator=generator)[: self.options.positions]
            where.append(order.sort().values + 1)
        kept = [
            torch.cat([trace.row(i, site)[at] for i, at in enumerate(where)])
            for site in self._sites
        ]
        return States(kept[:-1], kept[-1])

    def _start(self) -> tuple[Translators, Float[Tensor, " layer"]]:
        spec = self.model.spec
        maps = Translators.identity(spec, rank=self.options.rank)
        scale = torch.stack([h.float().square().mean().sqrt().cpu() for h in self._held_out.layers])
        if self.options.start_tokens:
            moments = Moments.empty(scale * spec.d_model**0.5, spec.d_model)
            judge = self._collect(moments)
            maps = first_guess(
                moments, maps, loss=lambda layer, maps: self._layer_kl(judge, layer, maps)
            )
        elif self.options.rank:
            # A product of two zeros has no gradient; one random factor still gives the identity.
            draw = self.context.stream("lens start").standard_normal(tuple(maps.down.shape))
            maps.down.copy_(torch.from_numpy(draw) / spec.d_model**0.5)
        return maps, scale

    def _collect(self, moments: Moments) -> States:
        """Add up the training texts until there are enough tokens; return a few of the states."""
        seen, done = 0, 0
        draw = self.context.torch_stream("lens guess")
        total = min(self.options.start_tokens, sum(len(row) - 1 for row in self.rows))
        while seen < total and done < len(self.rows):
            trace = self.model.run(pad([self.rows[done]]).to(self.model.device), read=self._sites)
            states = [trace.row(0, site)[1:] for site in self._sites]
            moments.add(states[:-1], states[-1])
            seen += len(states[-1])
            done += 1
            self.context.progress(min(seen, total), total, "tokens of the first guess")
        some = self.rows[: max(1, min(done, 96 // self.options.positions))]
        return self.states(some, draw)

    def _layer_kl(self, states: States, layer: int, maps: Translators) -> float:
        one = States([states.layers[layer]], states.final)
        found = self._math(lambda _, h: maps(layer, h)).compare(
            one.layers, one.final, _unknown(one)
        )
        return float(found["kl"].mean())

    def _kl(self, states: States, maps: Translators) -> float:
        found = self._math(maps).compare(states.layers, states.final, _unknown(states))
        return float(found["kl"].mean())

    def _math(self, translate: Translate) -> LensMath:
        return LensMath.of(self.context, translate, memory=self.options.memory)

    @property
    def _budget(self) -> int:
        return self.options.memory * (1 << 20) // 4

    def _logits(self, h: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_vocab"]:
        """Unembed with gradients, which `Model.unembed` leaves out."""
        require(self.model, "unembed")
        return self.model.backend.unembed(h, normed=False).float()


def _unknown(states: States) -> Int[Tensor, " n"]:
    return torch.full((len(states.final),), -1)
