"""From running statistics to one reading per metric and layer."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray

from probes.geometry.centred import centred_texts
from probes.geometry.control import Null
from probes.geometry.cosine import (
    contributions,
    cosine_metrics,
    isotropic_spread,
    pooled_spread,
)
from probes.geometry.neighbours import two_nn
from probes.geometry.null import GaussianNull
from probes.geometry.partition import log_partition
from probes.geometry.reading import Reading, jackknifed, number
from probes.geometry.rogue import Removal, removals
from probes.geometry.spectrum import (
    SPECTRAL,
    Undefined,
    eigenvalues,
    isoscore,
    spectral_metrics,
)
from probes.geometry.statistics import IsotropyStatistics
from probes.geometry.words import WordValues, word_metrics
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context
from workbench.result.intervals import NoInterval

_SAMPLE_GROUPS = 16
_AT_MOST_WIDTH = (
    "participation_ratio",
    "effective_rank",
    "effective_rank_eigenvalues",
    "stable_rank",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerReadings:
    """Everything read at one place in the model."""

    metrics: dict[str, Reading]
    spectrum: Float64[np.ndarray, " d_model"]
    contributions: Float64[np.ndarray, " d_model"]
    removals: tuple[Removal, ...]
    words: WordValues | None
    mean_norm: float
    max_norm: float
    twins: int


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """What decides how statistics are read; `unit` names what is resampled."""

    center: bool
    zeta: float
    words: bool
    unit: str


class Reader:
    """Reads every layer; the sample of tokens and the null are shared by all."""

    def __init__(
        self, statistics: IsotropyStatistics, options: ReadingOptions, context: Context
    ) -> None:
        """Draw the null.

        Raises:
            TooLittleData: no token was counted.
        """
        self.statistics, self.options, self.context = statistics, options, context
        self.n = statistics.moments.n
        if self.n == 0:
            raise TooLittleData(
                f"no token is left to measure; {statistics.n_empty} texts hold a first token only",
                hint="give longer texts, or set exclude_first to false",
            )
        self.whole = statistics.texts.closed()
        self.sample = statistics.reservoir.sample()
        self.groups = self.sample.units % (statistics.n_groups or _SAMPLE_GROUPS)
        sizes = np.unique(self.groups, return_counts=True)[1].astype(np.float64)
        self.group_sizes = sizes if len(sizes) > 1 else np.zeros(0)
        means = statistics.moments.mean.cpu().numpy()
        self.texts = centred_texts(self.sample, means) if options.center else self.whole
        self.null = GaussianNull.draw(
            self.n,
            statistics.d_model,
            len(self.sample),
            generator=context.stream("isotropy.null"),
        )

    def read(self, site: int) -> LayerReadings:
        """Return every metric of one layer."""
        statistics, e = self.statistics, self.statistics.exponent(site)
        spectrum = parts = np.zeros(statistics.d_model)
        if self.n > 1:
            spectrum = eigenvalues(statistics.moments.covariance(site))
        if self.texts.n_tokens > 1:
            parts = contributions(self.texts, site)
        x = self._vectors(site)
        metrics = self._cosine(site) | self._spectral(site, spectrum)
        metrics |= self._partition(site, x, math.sqrt(spectrum.mean()))
        dimensions, twins = self._neighbours(x)
        metrics |= dimensions
        words = self._words(x) if self.options.words else None
        if words is not None:
            metrics |= _word_readings(words, metrics["mean_cosine"].number, self.group_sizes)
        return LayerReadings(
            metrics=metrics,
            spectrum=np.ldexp(spectrum, 2 * e),
            contributions=parts,
            removals=tuple(removals(x, np.argsort(-parts))),
            words=words,
            mean_norm=math.ldexp(float(self.whole.norm[site] / self.n), e),
            max_norm=math.ldexp(float(statistics.longest[site]), e),
            twins=twins,
        )

    def _vectors(self, site: int) -> Float64[np.ndarray, "m d_model"]:
        """Return the sampled tokens in the units they are kept in, centred if asked for."""
        x: NDArray[np.float64] = self.sample.x[site].astype(np.float64)
        if self.options.center:
            x -= self.statistics.moments.mean[site].cpu().numpy()
        return x

    def _cosine(self, site: int) -> dict[str, Reading]:
        found = cosine_metrics(self.texts, site)
        controls = self._cosine_controls(site)
        none = np.zeros(0)
        return {
            name: jackknifed(
                name,
                value,
                found.left_out.get(name, none),
                found.sizes.get(name, none),
                controls.get(name),
            )
            for name, value in found.values.items()
        }

    def _cosine_controls(self, site: int) -> dict[str, Null]:
        """Return what isotropic vectors of these texts give; exact, as is the spread if given."""
        texts = self.texts
        if texts.squared[site].sum() < 1.5:
            return {}
        directed = max(float(texts.directed_texts[site].sum()), 1.0)
        return {
            "mean_cosine": Null(value=0.0, sd=isotropic_spread(texts, site)),
            "su_collier_pooled": Null(value=1.0, sd=pooled_spread(texts, site)),
            "su_collier_per_text": Null(value=1.0),
            "intra_sentence_similarity": Null(value=float(texts.chance[site].sum()) / directed),
        }

    def _spectral(self, site: int, spectrum: NDArray[np.float64]) -> dict[str, Reading]:
        moments, zeta, d = self.statistics.moments, self.options.zeta, len(spectrum)
        one = self._one(site)
        values = spectral_metrics(spectrum, self.n, zeta=zeta, one=one)
        controls = self.null.spectral(float(spectrum.mean()), zeta=zeta, one=one)
        groups = moments.removable_groups
        left_out = [
            spectral_metrics(
                eigenvalues(moments.covariance_without(site, group)),
                self.n - int(moments.group_n[group]),
                zeta=zeta,
                one=one,
            )
            for group in groups
        ]
        sizes = moments.group_n[groups].astype(np.float64)
        readings = {}
        for name in SPECTRAL:
            without = [number(row[name]) for row in left_out]
            readings[name] = jackknifed(
                name, values[name], np.array(without, dtype=np.float64), sizes, controls.get(name)
            )
        for name in _AT_MOST_WIDTH:
            readings[name] = readings[name].at_most(float(d))
        for kind in ("", "_corrected"):
            ratio = readings[f"participation_ratio{kind}"]
            if d > 1:
                readings[f"isoscore{kind}"] = ratio.mapped(lambda v: number(isoscore(v, d)) or 0.0)
        return readings

    def _one(self, site: int) -> float:
        """Return the identity of IsoScore* in the units that the vectors are kept in."""
        return math.ldexp(1.0, max(min(-2 * self.statistics.exponent(site), 1000), -1000))

    def _partition(self, site: int, x: NDArray[np.float64], sigma: float) -> dict[str, Reading]:
        moments, e = self.statistics.moments, self.statistics.exponent(site)
        moment = moments.covariance if self.options.center else moments.second_moment
        if self.n < 2:
            missing = Reading(value=Undefined("one token has no directions"))
            return dict.fromkeys(
                ("partition_isotropy", "log_partition_isotropy", "partition_isotropy_scaled"),
                missing,
            )
        directions = torch.linalg.eigh(moment(site))[1].cpu().numpy()
        name, sizes = "log_partition_isotropy", self.group_sizes
        raw = log_partition(np.ldexp(x, e), directions, self.groups)
        control = self.null.log_partition(math.ldexp(sigma, e))
        log = jackknifed(name, raw.value, raw.left_out, sizes, control)
        length = float(np.linalg.norm(x, axis=1).mean())
        scaled = Reading(value=Undefined("all sampled vectors are zero"))
        if length > 0:
            unit = log_partition(x / length, directions, self.groups)
            control = self.null.log_partition_scaled
            scaled = jackknifed(name, unit.value, unit.left_out, sizes, control)
        return {
            "partition_isotropy": log.mapped(_ratio),
            name: log,
            "partition_isotropy_scaled": scaled.mapped(_ratio),
        }

    def _neighbours(self, x: NDArray[np.float64]) -> tuple[dict[str, Reading], int]:
        """Return both dimensions, and how many twins were left out of them."""
        found, null = two_nn(x, self.groups), self.null.two_nn
        name = "two_nn_dimension"
        slope = Reading(
            value=found.slope,
            interval=NoInterval("the slope has none; see two_nn_dimension"),
            control=null["slope"],
        )
        likelihood = jackknifed(
            name, found.likelihood, found.left_out, found.sizes, null["likelihood"]
        )
        return {name: likelihood, f"{name}_slope": slope}, found.twins

    def _words(self, x: NDArray[np.float64]) -> WordValues:
        generator = self.context.stream("isotropy.words")
        return word_metrics(x, self.sample.token_ids, self.groups, generator)


def _ratio(log: float) -> float:
    return math.exp(min(log, 0.0))


def _word_readings(
    words: WordValues, mean_cosine: float | None, sizes: NDArray[np.float64]
) -> dict[str, Reading]:
    base = None if mean_cosine is None else Null(value=mean_cosine)
    similarity = jackknifed(
        "self_similarity", words.similarity, words.similarity_left_out, sizes, base
    )
    explained = jackknifed(
        "max_explained_variance",
        words.explained,
        words.explained_left_out,
        sizes,
        words.explained_chance,
    )
    return {
        "self_similarity": similarity,
        "self_similarity_adjusted": similarity.less_control(),
        "max_explained_variance": explained,
        "max_explained_variance_adjusted": explained.less_control(),
    }
