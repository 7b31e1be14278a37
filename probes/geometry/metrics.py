"""What the isotropy probe measures, how it is drawn, and what its tables hold."""

import math

from probes.geometry.cosine import ISOTROPIC
from workbench.result.metric import Axis, Control, Metric, Plot
from workbench.result.pivots import Bounds
from workbench.result.readings import CONTROL
from workbench.result.tables import Column, columns_from
from workbench.result.views import Curve, Heatmap, View

CONTROLS_OF = {
    CONTROL: Control(ISOTROPIC, "what isotropic Gaussian vectors would give"),
}
LAYER = Axis(help="Layer; after the final norm it is the number of layers.")


# Unit, meaning and the name of the bounds of every metric.
_TOLD: dict[str, tuple[str, str, str]] = {
    "mean_cosine": ("", "Mean cosine over all pairs of tokens.", "cosine"),
    "su_collier_pooled": (
        "", "1 − mean cosine over pairs within a text, all pairs pooled.", "su_collier",
    ),
    "su_collier_per_text": (
        "", "1 − mean cosine within a text, averaged over texts.", "su_collier",
    ),
    "participation_ratio": ("dimensions", "(tr S)²/‖S‖², raw.", "ranks"),
    "participation_ratio_corrected": (
        "dimensions", "The same from unbiased estimates.", "",
    ),
    "isoscore": ("", "(participation ratio − 1)/(d − 1), raw.", "share"),
    "isoscore_corrected": ("", "The same corrected for the number of tokens.", ""),
    "isoscore_star": (
        "", "IsoScore of (1 − ζ)S + ζI; depends on the scale of the vectors.", "share",
    ),
    "effective_rank": (
        "dimensions", "exp(entropy) of the normalised singular values.", "ranks",
    ),
    "effective_rank_eigenvalues": (
        "dimensions", "exp(entropy) of the normalised eigenvalues.", "ranks",
    ),
    "stable_rank": ("dimensions", "tr S/λ₁ about the mean.", "ranks"),
    "partition_isotropy": (
        "", "min Z/max Z over both signs of the eigenvectors of XᵀX.", "share",
    ),
    "log_partition_isotropy": ("nats", "The logarithm of the same.", "less"),
    "partition_isotropy_scaled": ("", "The same for vectors scaled to unit mean norm.", "share"),
    "two_nn_dimension": ("dimensions", "Intrinsic dimension by maximum likelihood.", ""),
    "two_nn_dimension_slope": ("dimensions", "Intrinsic dimension by the slope.", ""),
    "intra_sentence_similarity": (
        "", "Mean cosine of a token to the mean vector of its text.", "cosine",
    ),
    "self_similarity": (
        "", "Mean cosine between contexts of one token, over frequent tokens.", "cosine",
    ),
    "self_similarity_adjusted": ("", "The same less the mean cosine of all pairs.", "cosine"),
    "max_explained_variance": (
        "", "λ₁/Σλ of the contexts of one token, over frequent tokens.", "share",
    ),
    "max_explained_variance_adjusted": (
        "", "The same less that of as many random tokens.", "share",
    ),
    "rogue_share": ("", "Share of the mean cosine owed to its three largest dimensions.", ""),
}  # fmt: skip


def metrics(d_model: int) -> dict[str, Metric]:
    """Return every metric of vectors of that width; bounds hold before a control is taken off."""
    bounds: dict[str, Bounds] = {
        "ranks": (1.0, float(d_model)),
        "cosine": (-1.0, 1.0),
        "share": (0.0, 1.0),
        "less": (-math.inf, 0.0),
        "su_collier": (0.0, 2.0),
    }
    return {n: Metric(unit=u, help=h, bounds=bounds.get(b)) for n, (u, h, b) in _TOLD.items()}


OTHER_CONTROLS = {
    "self_similarity_control": "The mean cosine of all pairs.",
    "max_explained_variance_control": "The average over as many random tokens.",
}

_SITE = Column(help="Where in the model.")
_PLACE = {"layer": Column(help=LAYER.help), "site": _SITE}
_RANK = "Place of the {}, largest first."

FACTS = columns_from("""
    n_tokens (tokens): Tokens counted.
    n_texts (texts): Texts with a counted token.
    n_sampled (tokens): Tokens in the sample of partition, two-NN and word metrics.
    mean_norm: Mean length of the vectors.
    max_norm: Length of the longest vector.
    reliable: Whether there are at least ten tokens per dimension.
""")
COLUMNS = {
    "spectrum": {
        **_PLACE,
        "rank": Column(help=_RANK.format("eigenvalue")),
        "share": Column(help="Share of the total variance."),
        "share_control": Column(
            help="The same for isotropic Gaussian vectors.", control_of="share"
        ),
    },
    "rogue": {
        **_PLACE,
        "rank": Column(help=_RANK.format("dimension by its contribution")),
        "dimension": Column(help="Index of the dimension."),
        "contribution": Column(help="What it adds to the mean cosine."),
        "share": Column(help="Its share of the mean cosine; empty where that is near zero."),
    },
    "removal": _PLACE
    | columns_from("""
        removed (dimensions): How many of the largest contributors were removed.
        mean_cosine: Mean cosine of sampled pairs without them.
        r_squared: Squared correlation with the full cosines.
        n_pairs (pairs): Sampled pairs.
    """),
    "words": _PLACE
    | columns_from("""
        word: Vocabulary entry.
        token_id: Its id.
        n (contexts): Contexts in the sample.
        self_similarity: Mean cosine between its contexts.
        self_similarity_adjusted: The same less the mean cosine of all pairs.
        max_explained_variance: λ₁/Σλ of its contexts.
    """)
    | {
        "max_explained_variance_control": Column(
            help="The same for as many random tokens.", control_of="max_explained_variance"
        )
    },
}

PLOTS: tuple[Plot | View, ...] = (
    Plot(title="Cosine between tokens", metrics=("mean_cosine",)),
    Plot(title="Su–Collier isotropy", metrics=("su_collier_pooled", "su_collier_per_text")),
    Plot(title="IsoScore, raw and corrected", metrics=("isoscore", "isoscore_corrected")),
    Plot(
        title="Effective dimensions",
        metrics=("effective_rank", "participation_ratio", "stable_rank"),
    ),
    Plot(title="Intrinsic dimension", metrics=("two_nn_dimension",)),
    Plot(title="Partition isotropy at unit mean norm", metrics=("partition_isotropy_scaled",)),
    Curve(
        "Spectrum",
        "spectrum",
        x="rank",
        y=("share",),
        group="site",
        control=("share_control",),
        log_x=True,
        log_y=True,
    ),
    Heatmap(
        "Rogue dimensions: share of the mean cosine",
        "rogue",
        row="site",
        column="rank",
        value="share",
        text="dimension",
    ),
    Curve(
        "Cosine without rogue dimensions", "removal", x="layer", y=("mean_cosine",), group="removed"
    ),
    Plot(title="Contexts of one token", metrics=("self_similarity",)),
)
