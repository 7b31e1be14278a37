"""Data with a known answer: what a readout probe must find, and lose when labels are shuffled."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from workbench.methods.contracts import Context, ReadoutProbe
from workbench.methods.evaluate import Evaluation, evaluate
from workbench.methods.labels import Labelled
from workbench.model.activations import Activations
from workbench.model.sites import Site
from workbench.model.spec import ModelSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class PlantedExample:
    """Labelled vectors whose answer is known by construction.

    A working probe scores at least `at_least` on held-out vectors, and at most `at_most` after
    the labels were shuffled. `direction` is the planted unit vector where there is one.
    """

    data: Activations
    at_least: float
    at_most: float
    direction: Float[Tensor, " d_model"] | None = None

    def answer(self, probe: ReadoutProbe, *, shuffled: bool = False) -> float:
        """Return the held-out score: accuracy for classes, share of variance for numbers."""
        y = self.data.y
        if shuffled:
            y = np.random.default_rng(0).permutation(y)
        numeric = self.data.is_numeric
        rows = [
            Labelled(
                label=float(label) if numeric else str(label),
                group=str(group),
                source=f"row {i}",
                text="",
            )
            for i, (label, group) in enumerate(zip(y, self.data.groups, strict=True))
        ]
        vectors = {Site.parse("resid_post.0[-1]"): self.data.x.numpy()}
        context = Context(resamples=50)
        result = evaluate(probe, vectors, rows, context, Evaluation(n_shuffles=4))
        return float(result.tables["sites"]["score"].iloc[0])


def plant_direction(
    *, d_model: int, gap: float, generator: torch.Generator, n: int = 240
) -> PlantedExample:
    """Draw two unit Gaussian clouds whose means lie `gap` apart along a random direction.

    The best possible accuracy is Φ(gap/2); shuffled labels give one half, within sampling error.
    """
    direction = _unit(d_model, generator)
    side = torch.arange(n) % 2
    x = torch.randn(n, d_model, generator=generator) + gap * (side[:, None] - 0.5) * direction
    best = float(torch.special.ndtr(torch.tensor(gap / 2)))
    return PlantedExample(
        data=Activations(x=x, y=np.array(["low", "high"])[side.numpy()], groups=_alone(n)),
        direction=direction,
        at_least=0.5 + 0.8 * (best - 0.5),
        at_most=0.5 + 4 * 0.5 / n**0.5,
    )


def plant_clusters(
    *, d_model: int, n_class: int, gap: float, generator: torch.Generator, n: int = 300
) -> PlantedExample:
    """Draw unit Gaussian clouds whose means lie `gap` from the origin along random directions."""
    means = torch.stack([_unit(d_model, generator) for _ in range(n_class)]) * gap
    which = torch.arange(n) % n_class
    x = torch.randn(n, d_model, generator=generator) + means[which]
    chance = 1 / n_class
    names = np.array([f"class {i}" for i in range(n_class)])
    return PlantedExample(
        data=Activations(x=x, y=names[which.numpy()], groups=_alone(n)),
        at_least=chance + 0.7 * (1 - chance),
        at_most=chance + 4 * (chance * (1 - chance) / n) ** 0.5,
    )


def plant_number(
    *, d_model: int, noise: float, generator: torch.Generator, n: int = 300
) -> PlantedExample:
    """Draw unit Gaussian vectors and the number x·u plus noise of that standard deviation.

    The best possible share of variance is 1/(1 + noise²); shuffled numbers give none.
    """
    direction = _unit(d_model, generator)
    x = torch.randn(n, d_model, generator=generator)
    y = x @ direction + noise * torch.randn(n, generator=generator)
    return PlantedExample(
        data=Activations(x=x, y=y.double().numpy(), groups=_alone(n)),
        direction=direction,
        at_least=0.85 / (1 + noise**2),
        at_most=0.05,
    )


def made_up_spec(n_layers: int, size: int) -> ModelSpec:
    """Return the sizes of a model that does not exist."""
    return ModelSpec(
        name="planted",
        architecture="none",
        n_layers=n_layers,
        n_heads=1,
        n_key_value_heads=1,
        d_model=size,
        d_head=size,
        d_mlp=size,
        d_vocab=size,
        n_parameters=0,
        max_positions=1024,
        backend="none",
        device="cpu",
        dtype="float32",
        attention="none",
        weights_hash="planted",
    )


def _unit(d_model: int, generator: torch.Generator) -> Float[Tensor, " d_model"]:
    vector = torch.randn(d_model, generator=generator)
    unit: Tensor = vector / vector.norm()
    return unit


def _alone(n: int) -> NDArray[np.generic]:
    return np.array([f"text {i}" for i in range(n)])
