"""Made-up traces whose order carries the answer: shuffling positions loses it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from probes.planted import made_up_spec
from workbench.methods.contracts import Context, Example
from workbench.model.sites import Kind, Site
from workbench.model.tokens import pad
from workbench.model.trace import Trace
from workbench.result.result import Result
from workbench.runs.counting import start

_TEXTS, _LENGTH, _SIZE = 6, 40, 32


def estimate_of(name: str, *, sign: int = 1) -> Callable[[Result], float]:
    """Return what reads an estimate of a result, 0 where it has no value."""
    return lambda found: sign * float(found.estimate(name).value or 0.0)


def at_layer(name: str, layer: int) -> Callable[[Result], float]:
    """Return what reads a number of the table `layers`."""
    return lambda found: float(found.table("layers")[name].iloc[layer])


@dataclass(frozen=True, kw_only=True, eq=False)
class PlantedStates:
    """States of several texts by site; the output head is the identity times `sharpness`.

    With `spells_next` the final states name the token that follows; running the model again
    gives the same states, whatever the tokens. Shuffled, every site's positions are put in an
    order of their own, or with `across_texts` all tokens of all texts are. `options` switch off
    what a made-up model cannot do.
    """

    states: Mapping[Site, Float[Tensor, "text ..."]]
    n_layers: int
    read: Callable[[Result], float]
    at_least: float
    at_most: float
    options: Mapping[str, bool] = field(default_factory=dict)
    spells_next: bool = False
    across_texts: bool = False
    sharpness: float = 8.0
    seed: int = 0

    def answer(self, probe: Any, *, shuffled: bool = False) -> float:
        """Return the number that the probe finds."""
        generator = torch.Generator().manual_seed(self.seed)
        first = next(iter(self.states.values()))
        n, length = first.shape[0], first.shape[-2]
        ids = torch.randint(0, _SIZE, (n, length), generator=generator)
        if self.spells_next:
            ids = self.states[Site(Kind.FINAL_NORM)].argmax(dim=-1).roll(1, dims=1)
        mixed = _between_texts if self.across_texts else _mixed
        states = {site: mixed(x, generator) if shuffled else x for site, x in self.states.items()}
        spec = replace(made_up_spec(self.n_layers, _SIZE), name="planted states")
        trace = Trace(spec=spec, tokens=pad(ids.tolist()), activations=states)
        context = Context(
            spec=spec,
            unembed=lambda h, normed=False: self.sharpness * h,
            run=lambda tokens, **asked: replace(trace, tokens=tokens),
        )
        accumulator = start(replace(probe, **self.options), context)
        accumulator.add(trace, [Example(text=f"text {i}", number=i) for i in range(n)])
        return self.read(accumulator.result(context))


def plant_steps(
    *, keep: float, read: Callable[[Result], float], generator: torch.Generator
) -> PlantedStates:
    """Draw states of which each keeps that share of the one before, at every layer.

    h_{t+1} = keep·h_t + √(1 − keep²)·noise, so that the cosine of neighbours is `keep` and that
    of distant tokens 0.
    """
    layers = 3
    size = 2048  # cosines of random vectors are then about 0.02
    states = {}
    for layer in range(layers):
        h = [torch.randn(_TEXTS, size, generator=generator)]
        for _ in range(4 * _LENGTH - 1):
            noise = torch.randn(_TEXTS, size, generator=generator)
            h.append(keep * h[-1] + (1 - keep**2) ** 0.5 * noise)
        states[Site(Kind.RESID_POST, layer)] = torch.stack(h, dim=1)
    return PlantedStates(
        states=states, n_layers=layers, read=read, at_least=keep - 0.05, at_most=0.05
    )


def plant_topics(
    *, cosine: float, read: Callable[[Result], float], generator: torch.Generator
) -> PlantedStates:
    """Draw states of which those of one text share a direction and those of two texts nothing.

    Any two tokens of a text have that cosine; `read` should return it. Shuffled between texts,
    one pair in `_TEXTS` comes from the same one.
    """
    layers, size = 2, 512  # cosines of random vectors are then about 0.04
    topic = torch.randn(_TEXTS, 1, size, generator=generator)
    states = {}
    for layer in range(layers):
        own = torch.randn(_TEXTS, _LENGTH, size, generator=generator)
        states[Site(Kind.RESID_POST, layer)] = cosine**0.5 * topic + (1 - cosine) ** 0.5 * own
    return PlantedStates(
        states=states,
        n_layers=layers,
        read=read,
        at_least=cosine - 0.05,
        at_most=cosine / _TEXTS + 0.1,
        options={"final_norm": False, "words": False},
        across_texts=True,
    )


def plant_blocks(*, read: Callable[[Result], float], generator: torch.Generator) -> PlantedStates:
    """Draw residual streams that every feed-forward block turns round: a cosine of −1.

    `read` should return the cosine with its sign turned round as well.
    """
    layers = 3
    states = {}
    for layer in range(layers):
        before = torch.randn(_TEXTS, _LENGTH, _SIZE, generator=generator)
        states[Site(Kind.MLP_OUT, layer)] = -2 * before
        states[Site(Kind.RESID_POST, layer)] = -before
    return PlantedStates(
        states=states,
        n_layers=layers,
        read=read,
        at_least=0.999,
        at_most=0.2,
        options={"skip": False, "alone": False},
    )


def plant_surprise(generator: torch.Generator) -> PlantedStates:
    """Build a model that is certain of every next token: `read` should return −surprisal."""
    following = torch.randint(0, _SIZE, (_TEXTS, _LENGTH), generator=generator)
    final = torch.nn.functional.one_hot(following, _SIZE).float()
    return PlantedStates(
        states={Site(Kind.RESID_POST, 0): final, Site(Kind.FINAL_NORM): final},
        n_layers=1,
        read=estimate_of("surprisal", sign=-1),
        at_least=-0.02,
        at_most=-1.0,
        spells_next=True,
    )


def plant_factors(*, read: Callable[[Result], float], generator: torch.Generator) -> PlantedStates:
    """Draw states of four strong factors, which a head reads so softly that √p is linear in them.

    `read` should return the alignment of both spaces.
    """
    factors = torch.randn(_TEXTS, _LENGTH, 4, generator=generator)
    noise = torch.randn(_TEXTS, _LENGTH, _SIZE, generator=generator)
    states = factors @ torch.randn(4, _SIZE, generator=generator) + 0.1 * noise
    return PlantedStates(
        states={Site(Kind.RESID_POST, 0): states, Site(Kind.FINAL_NORM): states},
        n_layers=1,
        read=read,
        at_least=0.95,
        at_most=0.3,
        sharpness=0.02,
    )


def plant_heads(generator: torch.Generator) -> PlantedStates:
    """Build attention of one head that looks at the first token only.

    Shuffled, the queries look wherever they please.
    """
    first = torch.zeros(_TEXTS, 1, _LENGTH, _LENGTH)
    first[..., 0] = 1
    return PlantedStates(
        states={Site(Kind.ATTN_PATTERN, 0): first},
        n_layers=1,
        read=estimate_of("to_first"),
        at_least=0.999,
        at_most=0.3,
        seed=int(torch.randint(0, 1000, (1,), generator=generator)),
    )


def plant_near_heads(
    *, read: Callable[[Result], float], generator: torch.Generator
) -> PlantedStates:
    """Build attention of one head that looks at the token before.

    `read` should return the mean distance with its sign turned round.
    """
    near = torch.zeros(_TEXTS, 1, _LENGTH, _LENGTH)
    near[:, :, range(1, _LENGTH), range(_LENGTH - 1)] = 1
    near[:, :, 0, 0] = 1
    return PlantedStates(
        states={Site(Kind.ATTN_PATTERN, 0): near},
        n_layers=1,
        read=read,
        at_least=-1.001,
        at_most=-4.0,
        options={"predictions": False},
        seed=int(torch.randint(0, 1000, (1,), generator=generator)),
    )


def plant_decisions(
    *,
    layer: int,
    read: Callable[[Result], float],
    generator: torch.Generator,
    options: Mapping[str, bool] | None = None,
) -> PlantedStates:
    """Build four layers whose states name one token from that layer on and another one before."""
    layers = 4
    final = torch.randint(0, _SIZE, (_TEXTS, _LENGTH), generator=generator)
    one_hot = torch.nn.functional.one_hot
    states = {
        Site(Kind.RESID_POST, k): one_hot(
            final if k >= layer else (final + 1) % _SIZE, _SIZE
        ).float()
        for k in range(layers)
    }
    return PlantedStates(
        states=states,
        n_layers=layers,
        read=read,
        at_least=0.99,
        at_most=0.25,
        options=options or {},
    )


def plant_next_token(
    *, read: Callable[[Result], float], generator: torch.Generator
) -> PlantedStates:
    """Build four layers whose states spell one token ever more clearly.

    Every layer ranks the same token first as the last one; `read` should return that share.
    """
    layers = 4
    final = torch.randint(0, _SIZE, (_TEXTS, _LENGTH), generator=generator)
    clear = torch.nn.functional.one_hot(final, _SIZE).float()
    return PlantedStates(
        states={Site(Kind.RESID_POST, k): clear * (k + 1) / layers for k in range(layers)},
        n_layers=layers,
        read=read,
        at_least=0.99,
        at_most=0.25,
    )


def plant_later_token(
    *, read: Callable[[Result], float], generator: torch.Generator
) -> PlantedStates:
    """Build two layers whose states spell the token after the next one."""
    following = torch.randint(0, _SIZE, (_TEXTS, _LENGTH), generator=generator)
    names, later = (
        torch.nn.functional.one_hot(x, _SIZE).float()
        for x in (following, following.roll(-1, dims=1))
    )
    return PlantedStates(
        states={Site(Kind.FINAL_NORM): names} | {Site(Kind.RESID_POST, k): later for k in range(2)},
        n_layers=2,
        read=read,
        at_least=0.85,
        at_most=0.4,
        spells_next=True,
    )


def _mixed(x: Float[Tensor, "text *shape"], generator: torch.Generator) -> Tensor:
    """Put positions in another order; in a pattern, every query's keys among those it sees."""
    if x.dim() == 3:
        return x[:, torch.randperm(x.shape[1], generator=generator)]
    mixed = torch.zeros_like(x)
    for query in range(x.shape[-1]):
        order = torch.randperm(query + 1, generator=generator)
        mixed[..., query, : query + 1] = x[..., query, : query + 1][..., order]
    return mixed


def _between_texts(x: Float[Tensor, "text pos d"], generator: torch.Generator) -> Tensor:
    """Put the tokens of all texts in another order."""
    return x.flatten(0, 1)[torch.randperm(x.shape[0] * x.shape[1], generator=generator)].view_as(x)
