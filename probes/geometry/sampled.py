"""What is measured on the sample of tokens: partition, two-NN, words and removals."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float64, Int
from numpy.typing import NDArray
from torch import Tensor

from probes.geometry.cosine import ISOTROPIC
from probes.geometry.neighbours import two_nn
from probes.geometry.null import GaussianNull, mapped
from probes.geometry.partition import log_partition
from probes.geometry.rogue import removals
from probes.geometry.words import MIN_CONTEXTS, frequent, mean_over_words, word_metrics
from workbench.methods.contracts import Context
from workbench.result.readings import Null, Reading

Arrays = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Where the sampled tokens come from, the same at every layer."""

    token_ids: Int[np.ndarray, " n"]
    groups: Int[np.ndarray, " n"]
    words: bool
    context: Context

    @property
    def sizes(self) -> Float[np.ndarray, " group"]:
        """How many tokens each group holds; none where there is one group."""
        sizes = np.unique(self.groups, return_counts=True)[1].astype(np.float64)
        return sizes if len(sizes) > 1 else np.zeros(0)

    def measured(
        self,
        x: Float64[Tensor, "layer n d_model"],
        directions: Float64[Tensor, "layer d_model d_model"],
        size: Float64[Tensor, " layer"],
        order: Int[np.ndarray, "layer d_model"],
    ) -> dict[str, NDArray[np.float64]]:
        """Measure some layers; `size` brings their vectors to their true length."""
        length = x.norm(dim=2).mean(dim=1)
        along = x @ directions
        raw, raw_without = log_partition(along, size, self.groups)
        unit, unit_without = log_partition(along, 1 / length.where(length > 0, 1), self.groups)
        dimension = two_nn(x, self.groups)
        found = {
            "raw": raw,
            "raw_without": raw_without,
            "unit": np.where((length > 0).cpu().numpy(), unit, np.nan),
            "unit_without": unit_without,
            "two_nn": dimension.likelihood,
            "slope": dimension.slope,
            "two_nn_without": dimension.left_out,
            "two_nn_sizes": dimension.sizes,
            "twins": dimension.twins,
            "two_nn_reasons": np.array(dimension.reasons, dtype=object),
        }
        for removal in removals(x, order):
            found[f"cosine_without_{removal.k}"] = removal.mean_cosine
            found[f"r_squared_{removal.k}"] = removal.r_squared
            found["n_pairs"] = np.full(len(x), removal.n_pairs)
        if self.words:
            stream = self.context.stream("isotropy.words")
            words = word_metrics(x, self.token_ids, self.groups, stream)
            found["similarity"], found["explained"] = words.similarity, words.explained
            found["explained_chance"] = words.explained_chance
        return found

    def partition_readings(
        self, found: Arrays, null: GaussianNull, sigma: Float[np.ndarray, " layer"]
    ) -> dict[str, Reading]:
        """Return the partition metrics; `sigma` is the spread of the isotropic control."""
        n_layers = len(sigma)
        at_unit = null.log_partition_scaled(n_layers)
        raw = null.log_partition(sigma)
        rows = {
            "partition_isotropy": ("raw", mapped(raw, _ratio), _ratio),
            "log_partition_isotropy": ("raw", raw, None),
            "partition_isotropy_scaled": ("unit", mapped(at_unit, _ratio), _ratio),
        }
        why = "all sampled vectors are zero" if null.n > 1 else "one token has no directions"
        return {
            name: Reading(
                value=found[kind] if null.n > 1 else np.full(n_layers, np.nan),
                reasons=[why] * n_layers,
                without=found[f"{kind}_without"],
                sizes=self.sizes,
                told=told,
                control=control if null.n > 1 else None,
            )
            for name, (kind, control, told) in rows.items()
        }

    def dimension_readings(self, found: Arrays, null: GaussianNull) -> dict[str, Reading]:
        """Return both two-NN dimensions."""
        reasons = [str(why) for why in found["two_nn_reasons"]]
        likelihood, slope = null.two_nn(len(reasons))
        return {
            "two_nn_dimension": Reading(
                value=np.log(found["two_nn"]),
                reasons=reasons,
                without=np.log(found["two_nn_without"]),
                sizes=found["two_nn_sizes"],
                told=np.exp,
                control=likelihood,
            ),
            "two_nn_dimension_slope": Reading(
                value=found["slope"],
                reasons=reasons,
                no_interval="the slope has none; see two_nn_dimension",
                control=slope,
            ),
        }

    def word_readings(
        self, found: Arrays, mean_cosine: Float[np.ndarray, " layer"]
    ) -> dict[str, Reading]:
        """Return the averages over frequent words, and the same less their controls."""
        if not self.words:
            return {}
        why = "the contexts of every frequent token have the same vector"
        if not frequent(self.token_ids):
            why = f"no token occurs {MIN_CONTEXTS} times in the sample"
        chance = _over_words(found["explained_chance"])
        readings = {}
        for name, kind, control in (
            ("self_similarity", "similarity", _exact(mean_cosine, "mean cosine of all pairs")),
            ("max_explained_variance", "explained", chance),
        ):
            means = mean_over_words(found[kind])
            reading = Reading(
                value=means[:, 0],
                reasons=[why] * len(means),
                without=means[:, 1:],
                sizes=self.sizes,
                is_extreme=kind == "explained",
                control=control,
            )
            readings[name] = reading
            readings[f"{name}_adjusted"] = replace(
                reading,
                reasons=[why if np.isnan(v) else "the control is undefined" for v in means[:, 0]],
                less=control.value,
                control=_exact(np.zeros(len(means)), ISOTROPIC),
            )
        return readings


def _ratio(log: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(np.minimum(log, 0.0)))


def _exact(value: NDArray[np.float64], name: str) -> Null:
    return Null(value=value, name=name)


def _over_words(chances: Float[np.ndarray, "layer word"]) -> Null:
    there = np.isfinite(chances)
    n = there.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(there, chances, 0).sum(axis=1) / n
        apart = np.where(there, chances - mean[:, None], 0)
        spread = np.sqrt((apart**2).sum(axis=1) / np.where(n > 1, n - 1, np.nan))
    return Null(
        value=mean, spread=spread, draws=int(n.max(initial=0)), name="as many random tokens"
    )
