"""Planted graphs of many designs: how often the truth comes back."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from causal.hca.ica import IcaOptions
from causal.planted.recovery import recovery_curve
from causal.planted.simulate import Design
from workbench.errors import BadOption
from workbench.methods.contracts import Context
from workbench.methods.registry import discovery
from workbench.options import option
from workbench.result.result import Result
from workbench.result.tables import Table


@discovery("recovery")
@dataclass(frozen=True, kw_only=True)
class RecoveryCurves:
    """Plant graphs with known order and effects, fit them, and count what comes back.

    Units: order recovery is a proportion of planted graphs; edge errors are relative.

    Source: the synthetic benchmark for hierarchical component analysis (arXiv:2506.10378), with
    Gaussian noises and domains that differ in scale only as controls that cannot be identified.
    """

    k: int = option(3, help="Capabilities.", low=1, high=6)
    domains: int = option(4, help="Domains.", low=1, high=20)
    sizes: tuple[int, ...] = option((100, 300, 1000), help="Models per domain.", low=2)
    noise: Literal["laplace", "uniform", "exponential", "mixed"] = option(
        "mixed", help="Distribution of the capabilities' own noise."
    )
    residual: float = option(0.05, help="Measurement noise / SD of a score.", low=0.0, high=10.0)
    density: float = option(1.0, help="Share of possible edges present.", low=0.0, high=1.0)
    contamination: float = option(0.0, help="Share of mislabelled rows.", low=0.0, high=1.0)
    seeds: int = option(100, help="Planted graphs per design.", low=2, high=100_000)
    restarts: int = option(8, help="Starts of component analysis.", low=1, high=1000)
    controls: bool = option(True, help="Add the two designs that cannot be identified.")

    def read(self, path: Path | None) -> Table:
        """Return the designs; there is no file to read.

        Raises:
            BadOption: a file was given.
        """
        if path is not None:
            raise BadOption(
                f"recovery plants its own graphs and reads no table, got {path}",
                hint="fit a table with `workbench causal fit NAME --table FILE`",
            )
        return Table.from_rows(asdict(design) for design in self.designs())

    def fit(self, table: Table, context: Context) -> Result:
        """Plant and fit every design."""
        return recovery_curve(
            self.designs(),
            seeds=self.seeds,
            options=IcaOptions(restarts=self.restarts),
            progress=context.progress,
        )

    def designs(self) -> tuple[Design, ...]:
        """Return one design per size, and the controls at the largest."""
        largest = Design(
            k=self.k,
            domains=self.domains,
            n=max(self.sizes),
            noise=self.noise,
            residual=self.residual,
            density=self.density,
            contamination=self.contamination,
        )
        found = [replace(largest, n=n) for n in self.sizes]
        if self.controls:
            found.append(replace(largest, noise="gaussian"))
            found.append(replace(largest, heterogeneity="scale"))
        return tuple(found)
