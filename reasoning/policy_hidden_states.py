"""Hidden-state optimisation: what the model keeps of a text is improved while it writes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from reasoning.candidates import candidate_row
from workbench.errors import BadOption
from workbench.model.own_loop import RowText
from workbench.model.policy import GREEDY, Policy, ReadsNothing, Sampling, draw
from workbench.model.row_run import RowRun
from workbench.training.network import Network

_BETAS, _TINY = (0.9, 0.999), 1e-8
States = list[Tensor]


@dataclass(frozen=True, kw_only=True)
class Update:
    """One update: −log p per token of the last window before it, after it, and after chance.

    `random` is after a step of equal length in a random direction.
    """

    token: int
    before: float
    after: float
    random: float

    def told(self) -> list[dict[str, Any]]:
        """Return the update as plain values; the penalty is what a random step would lose."""
        p = float(torch.tensor(-self.before).exp())
        penalty, score = self.random - self.before, self.before - self.after
        return [candidate_row(self.token, p=p, penalty=penalty, score=score, chosen=True)]


@dataclass(frozen=True, kw_only=True)
class HiddenStateOptimisation(ReadsNothing):
    """Write `window` tokens, then move the cached keys and values to where these are likelier.

    h ← h − η·Adam(∇_h[−log p(window | h)]) with moments of their own for each cached position; the
    weights stay. The log-probability of a token is booked before any update that used it. Each
    update keeps what it gained on its window beside a random step of equal length. A rate of 0 is
    the base policy, to the bit.

    Cost: for every window one pass with gradients, two more without, and the window once again.

    Source: Yoshida & Gimpel 2021, arXiv:2112.08653, section 3. We differ: keys and values are
    what is cached, and the text is the model's own.

    Raises:
        BadOption: a setting lies outside its bounds.
    """

    rate: float = 0.003
    window: int = 8
    base: Sampling = GREEDY

    def __post_init__(self) -> None:
        """Refuse settings out of bounds."""
        if not 0 <= self.rate < float("inf") or self.window < 1:
            raise BadOption(
                f"rate is {self.rate}, window {self.window}; expected 0 or more, and at least 1"
            )

    @property
    def plain(self) -> Policy | None:
        """Without a rate it is the base policy."""
        return None if self.rate else self.base

    def write(self, run: RowRun, text: RowText, generator: torch.Generator) -> None:
        network, adam = Network(run.model.backend.module), Adam(rate=self.rate)
        while text.ended is None:
            start = len(text.ids)
            self._write_window(run, text, generator)
            if text.ended is None and start > 1:
                step = _Step(network, text.ids[start - 1 :], generator)
                run.change(text.ids[:start], partial(step.pairs, adam=adam))
                text.records.append(step.told())

    def _write_window(self, run: RowRun, text: RowText, generator: torch.Generator) -> None:
        for _ in range(self.window):
            if text.ended is None:
                logits = run.logits(text.ids)[:, -1].float()
                token = int(draw(self.base.distribution(logits), [generator]))
                text.add([token], [float(logits.log_softmax(dim=-1)[0, token])])


@dataclass(kw_only=True, eq=False)
class Adam:
    """Adam with moments and a count of its own for every cached position."""

    rate: float
    _moments: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    _count: Tensor = field(default_factory=lambda: torch.zeros(0))

    def steps(self, slopes: Sequence[Float[Tensor, "row head pos d_head"]]) -> States:
        """Return what is taken from each state; positions may have been added at the end."""
        n = slopes[0].shape[2]
        count = torch.zeros(n)
        count[: len(self._count)] = self._count
        self._count = count = count + 1
        if not self._moments:
            self._moments = [(x[:, :, :0], x[:, :, :0]) for x in slopes]
        found, moments = [], []
        for x, (first, second) in zip(slopes, self._moments, strict=True):
            more = torch.zeros_like(x[:, :, first.shape[2] :])
            first = _BETAS[0] * torch.cat([first, more], dim=2) + (1 - _BETAS[0]) * x
            second = _BETAS[1] * torch.cat([second, more], dim=2) + (1 - _BETAS[1]) * x.square()
            moments.append((first, second))
            t = count.to(x)[None, None, :, None]
            size = (second / (1 - _BETAS[1] ** t)).sqrt() + _TINY
            found.append(self.rate * first / (1 - _BETAS[0] ** t) / size)
        self._moments = moments
        return found


class _Step:
    """One update for the tokens of a window; the first of `ids` predicts the first of them."""

    def __init__(self, network: Network, ids: Sequence[int], generator: torch.Generator) -> None:
        self._network, self._ids, self._generator = network, ids, generator
        self._losses: list[float] = []

    def pairs(self, cache: Any, adam: Adam) -> list[tuple[Tensor, Tensor]]:
        """Return the updated keys and values of every layer."""
        states = [x.detach() for layer in cache.layers for x in (layer.keys, layer.values)]
        loss, slopes = slopes_of(self._network, cache, states, self._ids)
        steps = adam.steps(slopes)
        moved = [h - step for h, step in zip(states, steps, strict=True)]
        by_chance = []
        for h, step in zip(states, steps, strict=True):
            noise = torch.randn(h.shape, generator=self._generator).to(h)
            by_chance.append(h - noise * (step.norm() / noise.norm()))
        self._losses = [loss]
        with torch.no_grad():
            for some in (moved, by_chance):
                found = window_loss(self._network, cache, some, self._ids)
                self._losses.append(float(found) / (len(self._ids) - 1))
        return list(zip(moved[::2], moved[1::2], strict=True))

    def told(self) -> Update:
        """Return the record of the update."""
        before, after, random = self._losses
        return Update(token=self._ids[-1], before=before, after=after, random=random)


def slopes_of(
    network: Network, cache: Any, states: States, ids: Sequence[int]
) -> tuple[float, States]:
    """Return −log p per token of a window, and the slopes of the sum by each cached state."""
    with torch.enable_grad():
        leaves = [h.detach().clone().requires_grad_() for h in states]
        loss = window_loss(network, cache, leaves, ids)
        slopes = torch.autograd.grad(loss, leaves)
    return float(loss.detach()) / (len(ids) - 1), list(slopes)


def window_loss(network: Network, cache: Any, states: States, ids: Sequence[int]) -> Tensor:
    """Return −log p in nats of all tokens but the first behind cached keys and values."""
    for i, layer in enumerate(cache.layers):
        layer.keys, layer.values = states[2 * i], states[2 * i + 1]
    n = states[0].shape[2]
    given = torch.tensor([list(ids[:-1])], device=network.device)
    mask = torch.ones((1, n + given.shape[1]), dtype=torch.bool)
    h = network.states(network.embed(given), mask, cache=cache)
    logp = network.logits(h)[0].log_softmax(dim=-1)
    goal = torch.tensor(list(ids[1:]), device=logp.device)
    return -logp.gather(1, goal[:, None]).sum()
