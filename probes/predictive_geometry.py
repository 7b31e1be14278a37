"""How a small move of the last state changes the prediction, and what its geometry shares."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.planted_states import PlantedStates, estimate_of, plant_factors
from workbench.errors import Unsupported
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import draws
from workbench.methods.per_unit import Measured, PerUnit
from workbench.methods.registry import probe
from workbench.model.model import Model
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Control, Metric, Plot
from workbench.result.samples import Samples

_FINAL = Site(Kind.FINAL_NORM)
_POS = ("position",)
_BY_TOKEN = ("trace", "top", "effective_rank", "ratio")
_HEADS: "WeakKeyDictionary[Model, _Head]" = WeakKeyDictionary()


@probe("predictive-geometry", source="Zhang 2025, arXiv:2507.19247")
@dataclass(frozen=True, kw_only=True)
class PredictiveGeometry(PerUnit):
    """Measure how a small move of the last state changes the next-token prediction.

    With logits W·h the Fisher metric is g = Wᵀ(diag p − ppᵀ)W, and KL(p_h‖p_{h+δ}) = ½ δᵀgδ up to
    third order. Its trace, its largest eigenvalue and its effective rank (tr g)²/tr g² are given
    at `tokens` positions of each text, and the ratio of KL to the quadratic form along a random
    direction, which is 1 where the step is small enough. Spectral alignment compares, at every
    layer, the top `rank` left singular space of the centred states with that of the profiles √p
    over the positions of a text: the mean squared cosine of principal angles, of which `rank`/n is
    expected by chance. Controls: the same probabilities on random tokens; states in random order.

    Units: trace and largest eigenvalue in nats per squared length of the final state; the rest are
    plain numbers. A text needs more than 2 × `rank` tokens for its alignment.

    Source: sections on predictive sensitivity and spectral alignment. The latest version claims
    alignment for a linear head, bounded features, a quadratic surrogate and whitening only: take
    it as a diagnostic. We differ: contexts are the tokens of one text, the first left out.
    """

    metrics: ClassVar = {
        "trace": Metric(unit="nats", help="Trace of the Fisher metric g.", axes=_POS),
        "top": Metric(unit="nats", help="Largest eigenvalue of g.", axes=_POS),
        "effective_rank": Metric(unit="", help="(tr g)²/tr g².", axes=_POS),
        "ratio": Metric(unit="", help="KL of a small step over ½ δᵀgδ.", axes=_POS),
        "alignment": Metric(
            unit="proportion", help="Shared by states and profiles √p.", bounds=(0.0, 1.0)
        ),
        "chance": Metric(
            unit="proportion", help="Alignment by chance, rank/n.", axes=(), bounds=(0.0, 1.0)
        ),
    }
    controls_of: ClassVar = {
        "random": Control("random", "the same probabilities on random tokens, states shuffled")
    }
    plots: ClassVar = (
        Plot(title="States and predictions share a space", metrics=("alignment",)),
        Plot(title="Sensitivity along the text", metrics=("trace", "top"), axes=_POS, log_y=True),
    )

    tokens: int = option(2, help="Tokens of a text whose Fisher metric is computed.", low=1)
    step: float = option(0.01, help="Length of the step δ.", low=1e-6, high=1.0)
    rank: int = option(4, help="Dimensions of the spaces that are compared.", low=1, high=64)

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return (*every_layer(Kind.RESID_POST, spec), _FINAL)

    def price(self, spec: ModelSpec) -> int:
        # Wᵀ diag(p) W is a product of d_vocab · d_model², of which a pass makes very few.
        return 10 * self.tokens

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        found, null = (self._nothing(trace) for _ in range(2))
        head = _head(context, trace)
        for i, draw in enumerate(draws(trace.tokens, context, "predictive geometry")):
            columns = trace.tokens.mask[i].cpu().nonzero()[1:, 0]
            if len(columns):
                self._at_tokens(i, columns, trace, head, draw, (found, null))
            if len(columns) > 2 * self.rank:
                profiles = head.probabilities(trace.activations[_FINAL][i, columns]).sqrt()
                states = trace.stack(Kind.RESID_POST)[:, i, columns].double().cpu()
                order = torch.from_numpy(draw.permutation(len(columns)))
                found["alignment"][i] = alignment(states, profiles, self.rank)
                null["alignment"][i] = alignment(states, profiles[order], self.rank)
                found["chance"][i] = self.rank / (len(columns) - 1)
        del null["chance"]
        return Measured(values=found, controls={"random": null})

    def _nothing(self, trace: Trace) -> dict[str, Tensor]:
        n, width = trace.tokens.ids.shape
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(_BY_TOKEN, (n, width))
        shapes |= {"alignment": (n, trace.spec.n_layers), "chance": (n,)}
        return {
            name: torch.full(shape, torch.nan, dtype=torch.double) for name, shape in shapes.items()
        }

    def _at_tokens(
        self,
        i: int,
        columns: Int[Tensor, " n"],
        trace: Trace,
        head: "_Head",
        draw: np.random.Generator,
        kinds: tuple[dict[str, Tensor], dict[str, Tensor]],
    ) -> None:
        some = np.sort(draw.permutation(len(columns))[: self.tokens])
        for column in columns[torch.from_numpy(some)].tolist():
            h = trace.activations[_FINAL][i, column]
            p = head.probabilities(h[None])[0]
            way = torch.from_numpy(draw.standard_normal(len(h)))
            move = way * (self.step / way.norm())
            order = torch.from_numpy(draw.permutation(len(p)))
            for found, each in zip(kinds, (p, p[order]), strict=True):
                for name, x in fisher(each, head.weight, move).items():
                    found[name][i, column] = x

    def summary(self, found: Samples) -> str:
        rank, shared = (found.estimate(m, "random") for m in ("effective_rank", "alignment"))
        few = rank.told(
            "Predictions are sensitive along {} random tokens would be",
            *("more directions than", "fewer directions than", "as many directions as"),
        )
        return f"{few}; states share {shared.beside_control} in random order with them: {shared}."

    @staticmethod
    def example(generator: torch.Generator) -> PlantedStates:
        """States of four factors whose profiles are nearly linear in them: an alignment of 1."""
        return plant_factors(read=estimate_of("alignment"), generator=generator)


def fisher(
    p: Float[Tensor, " d_vocab"],
    weight: Float[Tensor, "d_model d_vocab"],
    move: Float[Tensor, " d_model"],
) -> dict[str, float]:
    """Return trace, largest eigenvalue and effective rank of g, and KL of a move over ½ δᵀgδ."""
    w = weight.float()
    mean = (w @ p.float()).double()
    g = ((w * p.float()) @ w.T).double() - mean[:, None] * mean
    eigenvalues = torch.linalg.eigvalsh(g).clamp(min=0)
    trace, size = eigenvalues.sum(), eigenvalues.square().sum()
    shift = (move.float() @ w).double()
    # log Σ p exp(s) − Σ p s, which is KL(p‖p moved), without the difference of two logarithms.
    kl = torch.log1p((p * torch.expm1(shift - p @ shift)).sum())
    return {
        "trace": float(trace),
        "top": float(eigenvalues[-1]),
        "effective_rank": float(trace.square() / size),
        "ratio": float(2 * kl / (move @ g @ move)),
    }


def alignment(
    states: Float[Tensor, "layer n d_model"], profiles: Float[Tensor, "n d_vocab"], rank: int
) -> Float[Tensor, " layer"]:
    """Return the mean squared cosine of the principal angles between both top left spaces."""
    u, v = (_top(x, rank) for x in (states, profiles[None]))
    return (u.mT @ v).square().sum(dim=(1, 2)) / rank


def _top(x: Float[Tensor, "layer n d"], rank: int) -> Float[Tensor, "layer n rank"]:
    centred = x - x.mean(dim=1, keepdim=True)
    found: Tensor = torch.linalg.eigh(centred @ centred.mT).eigenvectors
    return found[..., -rank:]


@dataclass(frozen=True, eq=False)
class _Head:
    """The output head as a linear map: logits are h·weight + constant."""

    weight: Float[Tensor, "d_model d_vocab"]
    constant: Float[Tensor, " d_vocab"]

    def probabilities(self, h: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_vocab"]:
        logits = h.float().cpu() @ self.weight + self.constant
        return logits.double().softmax(dim=-1)


def _head(context: Context, trace: Trace) -> _Head:
    """Read the head off the unit vectors, once per model.

    Raises:
        Unsupported: logits are no linear function of the final state.
    """
    if context.model is not None and context.model in _HEADS:
        return _HEADS[context.model]
    if context.unembed is None:
        raise Unsupported("this probe needs a model", hint="activation files have no output head")
    h = trace.activations[_FINAL].flatten(0, 1)[:8]
    unit = torch.eye(h.shape[-1], dtype=h.dtype, device=h.device)
    constant = context.unembed(torch.zeros_like(unit[:1]), normed=True).float().cpu()[0]
    weight = context.unembed(unit, normed=True).float().cpu() - constant
    head = _Head(weight, constant)
    wanted = context.unembed(h, normed=True).float().cpu()
    gap = (h.float().cpu() @ weight + constant - wanted).norm() / wanted.norm()
    if gap > 1e-2:
        raise Unsupported(
            f"logits are no linear map of the final state (error {float(gap):.2g})",
            hint="choose a model without soft caps on its logits",
        )
    if context.model is not None:
        _HEADS[context.model] = head
    return head
