"""From running statistics to one reading per metric and layer."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray

from probes.geometry.centred import centred_texts
from probes.geometry.cosine import contributions, cosine_metrics
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
from workbench.result.intervals import bootstrap_weights, percentile_interval

_SAMPLE_GROUPS = 16


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


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """What decides how statistics are read; `unit` names what is resampled."""

    center: bool
    zeta: float
    words: bool
    unit: str


class Reader:
    """Reads every layer; resamples, the sample of tokens and the null are shared by all."""

    def __init__(
        self, statistics: IsotropyStatistics, options: ReadingOptions, context: Context
    ) -> None:
        """Draw the resamples and the null.

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
        means = statistics.moments.mean.cpu().numpy()
        self.texts = centred_texts(self.sample, means) if options.center else self.whole
        self.weights = bootstrap_weights(
            int((self.texts.tokens > 0).sum()),
            resamples=context.resamples,
            generator=context.stream("isotropy.bootstrap"),
        )
        self.null = GaussianNull.draw(
            self.n,
            statistics.d_model,
            len(self.sample),
            generator=context.stream("isotropy.null"),
        )

    def read(self, site: int) -> LayerReadings:
        """Return every metric of one layer."""
        spectrum = parts = np.zeros(self.statistics.d_model)
        if self.n > 1:
            spectrum = eigenvalues(self.statistics.moments.covariance(site))
        if self.texts.n_tokens > 1:
            parts = contributions(self.texts, site)
        x = self._vectors(site)
        metrics = self._cosine(site) | self._spectral(site, spectrum)
        metrics |= self._partition(site, x, math.sqrt(spectrum.mean())) | self._neighbours(x)
        words = self._words(x) if self.options.words else None
        if words is not None:
            metrics |= _word_readings(words, metrics["mean_cosine"].number)
        return LayerReadings(
            metrics=metrics,
            spectrum=spectrum,
            contributions=parts,
            removals=tuple(removals(x, np.argsort(-parts))),
            words=words,
            mean_norm=float(self.whole.norm[site] / self.n),
            max_norm=float(self.statistics.longest[site]),
        )

    def _vectors(self, site: int) -> Float64[np.ndarray, "m d_model"]:
        """Return the sampled tokens, centred if asked for."""
        x: NDArray[np.float64] = self.sample.x[site].astype(np.float64)
        if self.options.center:
            x -= self.statistics.moments.mean[site].cpu().numpy()
        return x

    def _cosine(self, site: int) -> dict[str, Reading]:
        found = cosine_metrics(self.texts, site, self.weights)
        chance = float(self.texts.chance.sum() / max(self.texts.texts.sum(), 1))
        controls = {
            "mean_cosine": 0.0,
            "su_collier_pooled": 1.0,
            "su_collier_per_text": 1.0,
            "intra_sentence_similarity": chance,
        }
        readings = {}
        for name, value in found.values.items():
            defined = not isinstance(value, Undefined) and name in found.resampled
            interval = (
                percentile_interval(
                    found.resampled[name], method=f"bootstrap of {self.options.unit}"
                )
                if defined
                else None
            )
            readings[name] = Reading(value=value, interval=interval, control=controls.get(name))
        return readings

    def _spectral(self, site: int, spectrum: NDArray[np.float64]) -> dict[str, Reading]:
        moments, zeta, d = self.statistics.moments, self.options.zeta, len(spectrum)
        values = spectral_metrics(spectrum, self.n, zeta=zeta)
        controls = self.null.spectral(float(spectrum.mean()), zeta=zeta)
        left_out = [
            spectral_metrics(
                eigenvalues(moments.covariance_without(site, group)),
                self.n - int(moments.group_n[group]),
                zeta=zeta,
            )
            for group in moments.removable_groups
        ]
        readings = {}
        for name in SPECTRAL:
            without = [number(row[name]) for row in left_out]
            readings[name] = jackknifed(
                name, values[name], np.array(without, dtype=np.float64), controls.get(name)
            )
        for kind in ("", "_corrected"):
            ratio = readings[f"participation_ratio{kind}"]
            if d > 1:
                readings[f"isoscore{kind}"] = ratio.mapped(lambda v: number(isoscore(v, d)) or 0.0)
        return readings

    def _partition(self, site: int, x: NDArray[np.float64], sigma: float) -> dict[str, Reading]:
        moments = self.statistics.moments
        moment = moments.covariance if self.options.center else moments.second_moment
        if self.n < 2:
            missing = Reading(value=Undefined("one token has no directions"))
            return dict.fromkeys(
                ("partition_isotropy", "log_partition_isotropy", "partition_isotropy_scaled"),
                missing,
            )
        directions = torch.linalg.eigh(moment(site))[1].cpu().numpy()
        name = "log_partition_isotropy"
        raw = log_partition(x, directions, self.groups)
        log = jackknifed(name, raw.value, raw.left_out, self.null.log_partition(sigma))
        length = float(np.linalg.norm(x, axis=1).mean())
        scaled = Reading(value=Undefined("all sampled vectors are zero"))
        if length > 0:
            unit = log_partition(x / length, directions, self.groups)
            control = self.null.log_partition(1 / self.null.mean_norm)
            scaled = jackknifed(name, unit.value, unit.left_out, control)
        return {
            "partition_isotropy": log.mapped(_ratio),
            name: log,
            "partition_isotropy_scaled": scaled.mapped(_ratio),
        }

    def _neighbours(self, x: NDArray[np.float64]) -> dict[str, Reading]:
        found, null = two_nn(x, self.groups), self.null.neighbours
        return {
            "two_nn_dimension": jackknifed(
                "two_nn_dimension", found.likelihood, found.left_out, number(null.likelihood)
            ),
            "two_nn_dimension_slope": Reading(value=found.slope, control=number(null.slope)),
        }

    def _words(self, x: NDArray[np.float64]) -> WordValues:
        generator = self.context.stream("isotropy.words")
        return word_metrics(x, self.sample.token_ids, self.groups, generator)


def _ratio(log: float) -> float:
    return math.exp(min(log, 0.0))


def _word_readings(words: WordValues, mean_cosine: float | None) -> dict[str, Reading]:
    similarity = jackknifed(
        "self_similarity", words.similarity, words.similarity_left_out, mean_cosine
    )
    explained = jackknifed(
        "max_explained_variance",
        words.explained,
        words.explained_left_out,
        number(words.explained_chance),
    )
    return {
        "self_similarity": similarity,
        "self_similarity_adjusted": similarity.less_control(),
        "max_explained_variance": explained,
        "max_explained_variance_adjusted": explained.less_control(),
    }
