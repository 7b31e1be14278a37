"""Masked diffusion run backwards: hidden positions filled in, and what happened at each step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.model.denoiser import Denoiser
from workbench.model.key_reuse import KeyValueReuse
from workbench.sampling.energy import LeftToRightEnergy, effective_sample_size, resample
from workbench.sampling.unmask_orders import MostConfident, Order, View

Guide = Callable[[Float[Tensor, "batch pos d_vocab"]], Float[Tensor, "batch pos d_vocab"]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoding:
    """How hidden positions are filled.

    Each step fills `many` positions, chosen by `order`, with tokens drawn at `temperature` (0: the
    likeliest). With an `energy` whole proposals are drawn, `draws` of them, and one is taken by
    its weight. `guide` changes log-probabilities, as a classifier does. Stable keys and values
    are reused within `tolerance`. The states of positions `kept` are recorded at every layer.
    """

    order: Order = field(default_factory=MostConfident)
    many: int = 1
    temperature: float = 0.0
    energy: LeftToRightEnergy | None = None
    draws: int = 1
    guide: Guide | None = None
    tolerance: float = 0.0
    kept: Sequence[int] = ()

    def keeping(self, kept: Sequence[int]) -> "Decoding":
        """Return the same with the states of those positions recorded."""
        return replace(self, kept=kept)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """One batch: `ids` are whole rows at the end; the other positions count from `start`.

    `fixed_at` is the step that filled a position, from 0; `entropy` in nats and `confidence` are
    those at that step. `guesses` and `entropies` are those of every step, of filled positions the
    token itself and 0. `drift` is 1 − cosine, keys then values, mean over positions, NaN before
    the second step.
    """

    ids: Int[Tensor, "batch length"]
    start: int
    fixed_at: Int[Tensor, "batch pos"]
    entropy: Float[Tensor, "batch pos"]
    confidence: Float[Tensor, "batch pos"]
    guesses: Int[Tensor, "step batch pos"]
    entropies: Float[Tensor, "step batch pos"]
    sample_sizes: Float[Tensor, "step batch"]
    reused: Float[Tensor, "step batch"]
    drift: Float[Tensor, "step kind layer batch"]
    states: Float[Tensor, "step depth batch kept d_model"]

    @property
    def filled(self) -> Int[Tensor, "batch pos"]:
        """The tokens that were filled in."""
        return self.ids[:, self.start :]


@torch.no_grad()
def unmask(
    denoiser: Denoiser,
    prompts: Int[Tensor, "batch start"],
    length: int,
    decoding: Decoding,
    generators: Sequence[torch.Generator],
) -> Trajectory:
    """Fill `length` hidden positions behind prompts of one length; row i draws from generator i."""
    start, device = prompts.shape[1], denoiser.device
    hidden = torch.full((len(prompts), length), denoiser.mask_id, dtype=torch.long)
    ids = torch.cat([prompts, hidden], dim=1).to(device)
    walk = _Walk(denoiser, decoding, ids, start)
    while bool(walk.masked.any()):
        walk.step(generators)
    return walk.trajectory()


class _Walk:
    """The state of one batch while it is filled in."""

    def __init__(self, denoiser: Denoiser, decoding: Decoding, ids: Tensor, start: int) -> None:
        self._denoiser, self._decoding, self._start = denoiser, decoding, start
        self._ids = ids
        self._changed: Bool[Tensor, "batch length"] | None = None
        self._order = decoding.order.begin()
        self._reuse = KeyValueReuse(denoiser.keys_and_values, decoding.tolerance)
        self.masked: Bool[Tensor, "batch pos"] = torch.ones_like(ids[:, start:], dtype=torch.bool)
        self._fixed = torch.zeros_like(ids[:, start:])
        self._at_commit = torch.zeros(2, *self._fixed.shape, dtype=torch.float64)
        self._steps: list[dict[str, Tensor]] = []

    def step(self, generators: Sequence[torch.Generator]) -> None:
        """Predict, choose positions, and fill them in."""
        with self._reuse.step(self._changed):
            found = self._denoiser.predict(self._ids)
        log_p = found.logits[:, self._start :].double().log_softmax(dim=-1).cpu()
        if self._decoding.guide is not None:
            log_p = self._decoding.guide(log_p)
        noise = torch.stack([torch.rand(self.masked.shape[1], generator=g) for g in generators])
        tokens, size = self._tokens(log_p, generators)
        tokens = torch.where(self.masked.cpu(), tokens, self._ids[:, self._start :].cpu())
        confidence = log_p.gather(-1, tokens[..., None])[..., 0].exp()
        masked = self.masked.cpu()
        view = View(masked=masked, confidence=confidence, noise=noise, many=self._decoding.many)
        entropy = torch.special.entr(log_p.exp()).sum(dim=-1)
        self._record(found.states, tokens, entropy.masked_fill(~masked, 0.0), size)
        self._fill(self._order.choose(view), tokens, torch.stack([entropy, confidence]))

    def trajectory(self) -> Trajectory:
        """Return what happened."""
        every = {name: torch.stack([s[name] for s in self._steps]) for name in self._steps[0]}
        return Trajectory(
            ids=self._ids.cpu(),
            start=self._start,
            fixed_at=self._fixed.cpu(),
            entropy=self._at_commit[0],
            confidence=self._at_commit[1],
            **every,
        )

    def _tokens(
        self, log_p: Float[Tensor, "batch pos d_vocab"], generators: Sequence[torch.Generator]
    ) -> tuple[Int[Tensor, "batch pos"], Float[Tensor, " batch"]]:
        """Return a token for every position, and the effective sample size of the draws."""
        how, one = self._decoding, torch.ones(len(log_p), dtype=torch.float64)
        if how.temperature == 0:
            return log_p.argmax(dim=-1), one
        scaled = (log_p / how.temperature).log_softmax(dim=-1)
        draws = how.draws if how.energy is not None else 1
        pairs = zip(scaled, generators, strict=True)
        tokens = torch.stack([_draws(row, draws, g) for row, g in pairs], dim=1)
        if how.energy is None:
            return tokens[0], one
        told = scaled.expand(draws, *scaled.shape).gather(-1, tokens[..., None])[..., 0]
        known = self._ids[:, self._start :].cpu()
        tokens = torch.where(self.masked.cpu(), tokens, known)
        proposal = (told * self.masked.cpu()).sum(dim=-1)
        rows = torch.cat([self._ids[:, : self._start].cpu().expand(draws, -1, -1), tokens], dim=-1)
        weights = how.energy.log_weights(rows.to(self._ids.device), proposal, self._start)
        uniform = [torch.rand((), generator=g, dtype=torch.float64) for g in generators]
        taken = resample(weights.cpu(), torch.stack(uniform))
        return tokens[taken, torch.arange(len(taken))], effective_sample_size(weights.cpu())

    def _record(
        self, states: Sequence[Tensor], tokens: Tensor, entropy: Tensor, size: Tensor
    ) -> None:
        n, layers = len(tokens), len(self._denoiser.keys_and_values)
        drift, reused = self._reuse.drift, self._reuse.reused
        columns = [self._start + i for i in self._decoding.kept]
        self._steps.append(
            {
                "guesses": tokens,
                "entropies": entropy,
                "sample_sizes": size,
                "reused": torch.zeros(n).double() if reused is None else reused.cpu(),
                "drift": torch.full((2, layers, n), torch.nan).double()
                if drift is None
                else drift.mean(dim=-1).cpu(),
                "states": torch.stack([h[:, columns].float().cpu() for h in states]),
            }
        )

    def _fill(self, chosen: Tensor, tokens: Tensor, told: Float[Tensor, "kind batch pos"]) -> None:
        self._at_commit = torch.where(chosen, told, self._at_commit)
        chosen, device = chosen.to(self._ids.device), self._ids.device
        self._fixed[chosen] = len(self._steps) - 1
        before = self._ids.clone()
        filled = self._ids[:, self._start :]
        self._ids = torch.cat(
            [before[:, : self._start], torch.where(chosen, tokens.to(device), filled)], dim=1
        )
        self._changed, self.masked = self._ids != before, self.masked & ~chosen


def _draws(
    log_p: Float[Tensor, "pos d_vocab"], n: int, generator: torch.Generator
) -> Int[Tensor, "draw pos"]:
    """Draw n tokens for every position of one row."""
    return torch.multinomial(log_p.exp(), n, replacement=True, generator=generator).T
