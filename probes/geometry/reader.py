"""From running statistics to every metric of every layer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy.typing import NDArray

from probes.geometry.centred import centred_texts
from probes.geometry.cosine import contributions, cosine_readings
from probes.geometry.null import GaussianNull
from probes.geometry.sampled import Sample
from probes.geometry.spectrum import (
    SPECTRAL,
    eigenvalues,
    isoscore,
    spectral_metrics,
    why_undefined,
)
from probes.geometry.statistics import IsotropyStatistics
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context
from workbench.result.readings import Reading

_SAMPLE_GROUPS = 16
_CHUNK_BYTES = 1 << 26
_ON_LOGARITHM = ("participation_ratio", "effective_rank", "stable_rank")


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """Every metric of all layers, and what the other tables hold: arrays with a layer axis."""

    readings: Mapping[str, Reading]
    spectrum: Float64[np.ndarray, "layer d_model"]
    contributions: Float64[np.ndarray, "layer d_model"]
    mean_norm: Float64[np.ndarray, " layer"]
    max_norm: Float64[np.ndarray, " layer"]
    sampled: Mapping[str, NDArray[Any]]


class Reader:
    """Reads every layer, a few at a time; the sample and the null are shared by all."""

    def __init__(
        self,
        statistics: IsotropyStatistics,
        context: Context,
        *,
        center: bool,
        zeta: float,
        words: bool,
    ) -> None:
        """Draw the null.

        Raises:
            TooLittleData: no token was counted.
        """
        self.statistics, self.context = statistics, context
        self.center, self.zeta = center, zeta
        self.n = statistics.moments.n
        if self.n == 0:
            raise TooLittleData(
                f"no token is left to measure; {statistics.n_empty} texts hold a first token only",
                hint="give longer texts, or set exclude_first to false",
            )
        self.whole = statistics.texts.closed()
        self.origins, self.vectors = statistics.reservoir.sample()
        self.sample = Sample(
            token_ids=self.origins.token_ids,
            groups=self.origins.units % (statistics.n_groups or _SAMPLE_GROUPS),
            words=words,
            context=context,
        )
        self.texts = self.whole
        if center:
            self.texts = centred_texts(self.origins, self.vectors, statistics.moments.mean)
        self.null = GaussianNull.draw(
            self.n, statistics.d_model, len(self.origins), generator=context.stream("isotropy.null")
        )

    def read(self) -> Found:
        """Return every metric of every layer."""
        parts = contributions(self.texts)
        order = np.argsort(-parts, axis=1)
        spectra, without, sampled = [], [], []
        for chunk in self._chunks():
            spectra.append(self._spectra(chunk))
            without.append(self._spectra_without(chunk))
            sampled.append(self._sampled(chunk, order[chunk]))
        of_sample = {name: np.concatenate([some[name] for some in sampled]) for name in sampled[0]}
        spectrum = np.concatenate(spectra)
        readings = cosine_readings(self.texts)
        readings |= self._spectral(spectrum, np.concatenate(without))
        sigma = np.ldexp(np.sqrt(spectrum.mean(axis=1)), self.statistics.powers)
        readings |= self.sample.partition_readings(of_sample, self.null, sigma)
        readings |= self.sample.dimension_readings(of_sample, self.null)
        readings |= self.sample.word_readings(of_sample, readings["mean_cosine"].value)
        e = self.statistics.powers
        return Found(
            readings=readings,
            spectrum=np.ldexp(spectrum, 2 * e[:, None]),
            contributions=parts,
            mean_norm=np.ldexp(self.whole.host("norm") / self.n, e),
            max_norm=np.ldexp(self.statistics.longest, e),
            sampled=of_sample,
        )

    def _chunks(self) -> Iterator[slice]:
        """Yield some layers at a time, as many as fit the memory."""
        n_layers, d = self.whole.coordinate.shape
        step = max(1, _CHUNK_BYTES // (8 * d * max(len(self.origins), d)))
        for first in range(0, n_layers, step):
            self.context.progress(first, n_layers, "layers")
            yield slice(first, min(first + step, n_layers))
        self.context.progress(n_layers, n_layers, "layers")

    def _spectra(self, at: slice) -> Float64[np.ndarray, "layer d_model"]:
        if self.n < 2:
            return np.zeros((at.stop - at.start, self.whole.d_model))
        return eigenvalues(self.statistics.moments.covariance(at))

    def _spectra_without(self, at: slice) -> Float64[np.ndarray, "layer group d_model"]:
        moments = self.statistics.moments
        groups = moments.removable_groups
        found = [eigenvalues(moments.covariance_without(at, group)) for group in groups]
        shape = at.stop - at.start, 0, self.whole.d_model
        return np.stack(found, axis=1) if found else np.zeros(shape)

    def _sampled(self, at: slice, order: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
        moments, x = self.statistics.moments, self.vectors[at].double()
        if self.center:
            x -= moments.mean[at, None]
        moment = moments.covariance if self.center else moments.second_moment
        directions = torch.eye(x.shape[2], dtype=x.dtype, device=x.device).expand(len(x), -1, -1)
        if self.n > 1:
            directions = torch.linalg.eigh(moment(at))[1]
        size = x.new_tensor(np.ldexp(1.0, self.statistics.powers[at]))
        return self.sample.measured(x, directions, size, order)

    def _spectral(
        self,
        spectrum: Float[np.ndarray, "layer d_model"],
        without: Float[np.ndarray, "layer group d_model"],
    ) -> dict[str, Reading]:
        moments, d, zeta = self.statistics.moments, spectrum.shape[1], self.zeta
        # The identity of IsoScore* in the units that the vectors are kept in.
        one = np.ldexp(1.0, np.clip(-2 * self.statistics.powers, -1000, 1000))
        values = spectral_metrics(spectrum, self.n, zeta=zeta, one=one)
        controls = self.null.spectral(spectrum.mean(axis=1), zeta=zeta, one=one)
        reasons = why_undefined(spectrum, self.n, values)
        sizes = moments.group_n[moments.removable_groups].astype(np.float64)
        left = [
            spectral_metrics(without[:, i], self.n - int(size), zeta=zeta, one=one)
            for i, size in enumerate(sizes)
        ]
        found = {}
        for name in SPECTRAL:
            rest = [some[name] for some in left]
            known = Reading(
                value=values[name],
                reasons=reasons[name],
                without=np.stack(rest, axis=1) if rest else None,
                sizes=sizes,
                is_extreme=name == "stable_rank",
                control=controls[name],
            )
            found[name] = _on_logarithm(known) if name.startswith(_ON_LOGARITHM) else known
        for kind in ("", "_corrected"):
            ratio = found[f"participation_ratio{kind}"]
            found[f"isoscore{kind}"] = replace(
                ratio,
                told=lambda log: isoscore(np.exp(log), d),
                reasons=reasons[f"isoscore{kind}"],
                control=controls[f"isoscore{kind}"],
            )
        return found


def _on_logarithm(reading: Reading) -> Reading:
    """Return a positive metric whose interval is made on its logarithm, so that it is positive."""
    without = None if reading.without is None else np.log(reading.without)
    return replace(reading, value=np.log(reading.value), without=without, told=_exp)


def _exp(log: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(np.minimum(log, 700.0)))
