"""Class-mean direction at one site."""

from dataclasses import dataclass

import torch

from probes.planted import PlantedExample, plant_direction
from probes.readouts import LinearReadout
from workbench.errors import TooFewClasses
from workbench.methods.registry import probe
from workbench.model.activations import Activations
from workbench.model.sites import Site
from workbench.model.spec import ModelSpec
from workbench.options import option


@probe("mean-difference", source="Marks & Tegmark 2023, arXiv:2310.06824")
@dataclass(frozen=True, kw_only=True)
class MeanDifference:
    """Separate two classes along the line joining their mean activations.

    The score of x is (x − m)·u, with u from the mean of the first class to that of the second
    and m half-way between. No option is fitted to the labels beyond the two means.

    Units: the direction has the units of the activation; with `unit_norm` scores have them too.

    Raises:
        TooFewClasses: the labels do not hold exactly two classes.

    Source: Marks & Tegmark 2023, section 5; their covariance-corrected variant is left out.
    """

    site: Site = option(Site.parse("resid_post.-2[-1]"), help="Activation to read.")
    unit_norm: bool = option(True, help="Scale the direction to length one.")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return (self.site.resolve(spec),)

    def fit(self, data: Activations) -> LinearReadout:
        if data.is_numeric or len(data.classes) != 2:
            raise TooFewClasses(got="numbers" if data.is_numeric else data.classes, expected=2)
        low, high = (data.x[torch.from_numpy(data.y == c)].mean(dim=0) for c in data.classes)
        direction = high - low
        midpoint = (high + low) / 2
        if self.unit_norm and direction.norm() > 0:
            direction = direction / direction.norm()
        return LinearReadout(direction, -(direction @ midpoint), data.classes)

    @staticmethod
    def example(generator: torch.Generator) -> PlantedExample:
        """Two Gaussian clouds whose separating direction is known."""
        return plant_direction(d_model=16, gap=4.0, generator=generator)
