"""How evenly the vectors of a layer fill their space."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from probes.geometry.cautions import Cautions
from probes.geometry.reader import Reader
from probes.geometry.report import Subject, report
from probes.geometry.statistics import IsotropyStatistics, Settings
from probes.planted_states import PlantedStates, plant_topics
from workbench.errors import BadOption, TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ARRAY, ModelSpec
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.result import Result

Where = Literal["resid_post", "resid_pre", "resid_mid", "attn_out", "mlp_out"]


@probe(
    "isotropy",
    source=(
        "Su & Collier 2023, arXiv:2210.14140; Rudman et al. 2022 (IsoScore), 2023 (IsoScore*); "
        "Ethayarajh 2019; Timkey & van Schijndel 2021; Mu & Viswanath 2018; Facco et al. 2017"
    ),
)
@dataclass(frozen=True, kw_only=True)
class Isotropy:
    """Measure how evenly token vectors fill their space, layer by layer.

    Counts tokens in one pass, in memory that does not grow with their number. Covariance
    metrics are about the mean; cosine and partition metrics are not, unless `center` is set.
    Intervals come from leaving out texts: one at a time (256 random blocks of many) for cosines,
    random groups for the rest. They are about the value that more texts would give. Two-NN and
    partition values also move with the number of tokens sampled, which their intervals do not
    cover: compare them with the control, isotropic Gaussian data of the same number of tokens
    and width, which carries its spread.

    Units: ranks and dimensions count dimensions, log partition isotropy is in nats, mean norms
    have the units of the activation, all else is unitless.

    Raises:
        NotFinite: an activation is NaN or infinite.
        TooLittleData: no token is left to measure.
    """

    where: Where = option("resid_post", help="Which activation of each layer to measure.")
    layers: tuple[int, ...] = option(
        (), help="Layers to measure, negative from the end; all when empty."
    )
    final_norm: bool = option(
        True, help="Also measure after the final norm, where published tables are taken."
    )
    exclude_first: bool = option(
        True, help="Leave out the first token of each text, whose norm is enormous."
    )
    center: bool = option(
        False, help="Take the mean of all tokens away before cosine and partition metrics."
    )
    zeta: float = option(0.75, help="Shrinkage towards the identity in IsoScore*.", low=0, high=1)
    reservoir: int = option(
        2000,
        help="Tokens sampled for partition, two-NN, word and removal metrics.",
        low=10,
        high=4000,
        unit="tokens",
    )
    words: bool = option(True, help="Compare the contexts of frequent tokens.")
    memory_mb: float = option(
        256.0, help="Memory for the groups behind covariance intervals.", low=0, unit="MB"
    )

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        kind = Kind(self.where)
        if spec.architecture == ARRAY:
            return every_layer(Kind.RESID_POST, spec)
        chosen = [Site(kind, layer).resolve(spec) for layer in self.layers]
        sites = chosen or every_layer(kind, spec)
        last = (Site(Kind.FINAL_NORM),) if self.final_norm else ()
        return (*dict.fromkeys(sorted(sites, key=lambda s: s.layer or 0)), *last)

    def start(self, context: Context) -> "IsotropyAccumulator":
        return IsotropyAccumulator(self, context)

    @staticmethod
    def example(generator: torch.Generator) -> PlantedStates:
        """Texts about one topic each: tokens of a text have a cosine of 0.6, others none."""
        return plant_topics(
            cosine=0.6,
            read=lambda found: 1 - float(found.tables["layers"]["su_collier_pooled"].iloc[0]),
            generator=generator,
        )


class IsotropyAccumulator:
    """Counts traces for the isotropy probe; the first trace decides layers and width."""

    def __init__(self, options: Isotropy, context: Context) -> None:
        """Begin with nothing counted."""
        self.options = options
        self.context = context
        self.statistics: IsotropyStatistics | None = None
        self.is_array = False
        self.n_layers = 0

    def add(self, trace: Trace, examples: Sequence[Example]) -> None:
        """Count one batch; row i of the trace belongs to example i.

        Raises:
            NotFinite: an activation is NaN or infinite.
        """
        if self.statistics is None:
            self.is_array = trace.spec.architecture == ARRAY
            self.n_layers = trace.spec.n_layers
            sites = self.options.sites(trace.spec)
            first = trace.activations[sites[0]]
            self.statistics = self._statistics(sites, first.shape[-1], _device(first))
        self.statistics.add(trace, examples)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the whole state; empty before the first trace."""
        if self.statistics is None:
            return {}
        sites = "\n".join(map(str, self.statistics.settings.sites))
        return {
            "sites": np.frombuffer(sites.encode(), dtype=np.uint8).copy(),
            "is_array": np.array(self.is_array),
            "n_layers": np.array(self.n_layers),
            **self.statistics.state(),
        }

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Add a state of the data that came after.

        Raises:
            BadOption: it was counted at other sites, or by an earlier version.
        """
        if not state:
            return
        if "moments.origin" not in state:
            raise BadOption(
                "these sums are of an earlier version of isotropy",
                hint="run the plan again under another name",
            )
        names = bytes(state["sites"]).decode().split("\n")
        if self.statistics is None:
            self.is_array = bool(state["is_array"])
            self.n_layers = int(state["n_layers"])
            self.statistics = self._statistics(
                tuple(map(Site.parse, names)), state["moments.origin"].shape[1], torch.device("cpu")
            )
            self.statistics.restore(state)
            return
        if names != list(map(str, self.statistics.settings.sites)):
            raise BadOption("only isotropy of the same sites can be joined")
        self.statistics.merge(state)

    def result(self, context: Context) -> Result:
        """Turn the statistics into estimates, tables and views.

        Raises:
            TooLittleData: no token was counted.
        """
        if self.statistics is None:
            raise TooLittleData("no text was given", hint="give --text or --data")
        options = self.options
        reader = Reader(
            self.statistics,
            context,
            center=options.center,
            zeta=options.zeta,
            words=options.words and not self.is_array,
        )
        subject = Subject(n_layers=self.n_layers, is_array=self.is_array)
        cautions = Cautions(is_array=self.is_array, exclude_first=options.exclude_first)
        return report(reader, subject, cautions)

    def _statistics(
        self, sites: tuple[Site, ...], d_model: int, device: torch.device
    ) -> IsotropyStatistics:
        settings = Settings(
            sites=sites,
            exclude_first=self.options.exclude_first and not self.is_array,
            reservoir=self.options.reservoir,
            memory_mb=self.options.memory_mb,
            seed=self.context.seed,
            exact=self.is_array,
        )
        return IsotropyStatistics(settings, d_model, device)


def _device(x: torch.Tensor) -> torch.device:
    """Return where sums are kept: with the activations, unless float64 does not exist there."""
    return torch.device("cpu") if x.device.type == "mps" else x.device
