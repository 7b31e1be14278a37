"""What each column of the isotropy tables holds."""

from workbench.result.tables import Column

METRICS = {
    "mean_cosine": ("", "Mean cosine over all pairs of tokens."),
    "su_collier_pooled": ("", "1 − mean cosine over pairs within a text, all pairs pooled."),
    "su_collier_per_text": ("", "1 − mean cosine within a text, averaged over texts."),
    "participation_ratio": ("dimensions", "(tr S)²/‖S‖², raw."),
    "participation_ratio_corrected": ("dimensions", "The same from unbiased estimates."),
    "isoscore": ("", "(participation ratio − 1)/(d − 1), raw."),
    "isoscore_corrected": ("", "The same corrected for the number of tokens."),
    "isoscore_star": ("", "IsoScore of (1 − ζ)S + ζI; depends on the scale of the vectors."),
    "effective_rank": ("dimensions", "exp(entropy) of the normalised singular values."),
    "effective_rank_eigenvalues": ("dimensions", "exp(entropy) of the normalised eigenvalues."),
    "stable_rank": ("dimensions", "tr S/λ₁ about the mean."),
    "partition_isotropy": ("", "min Z/max Z over both signs of the eigenvectors of XᵀX."),
    "log_partition_isotropy": ("nats", "The logarithm of the same."),
    "partition_isotropy_scaled": ("", "The same for vectors scaled to unit mean norm."),
    "two_nn_dimension": ("dimensions", "Intrinsic dimension by maximum likelihood."),
    "two_nn_dimension_slope": ("dimensions", "Intrinsic dimension by the slope."),
    "intra_sentence_similarity": ("", "Mean cosine of a token to the mean vector of its text."),
    "self_similarity": ("", "Mean cosine between contexts of one token, over frequent tokens."),
    "self_similarity_adjusted": ("", "The same less the mean cosine of all pairs."),
    "max_explained_variance": ("", "λ₁/Σλ of the contexts of one token, over frequent tokens."),
    "max_explained_variance_adjusted": ("", "The same less that of as many random tokens."),
    "rogue_share": ("", "Share of the mean cosine owed to its three largest dimensions."),
}

_FACTS = {
    "layer": Column(help="Layer; after the final norm it is the number of layers."),
    "site": Column(help="Where in the model."),
    "n_tokens": Column("tokens", "Tokens counted."),
    "n_texts": Column("texts", "Texts with a counted token."),
    "n_sampled": Column("tokens", "Tokens in the sample of partition, two-NN and word metrics."),
    "mean_norm": Column(help="Mean length of the vectors."),
    "max_norm": Column(help="Length of the longest vector."),
    "reliable": Column(help="Whether there are at least ten tokens per dimension."),
}


def layer_columns() -> dict[str, Column]:
    """Describe the table `layers`: every metric with its interval and its control."""
    columns = dict(_FACTS)
    for name, (unit, help_) in METRICS.items():
        columns[name] = Column(unit, help_, low=f"{name}_low", high=f"{name}_high")
        columns[f"{name}_low"] = Column(unit, "Lower bound of the interval.")
        columns[f"{name}_high"] = Column(unit, "Upper bound of the interval.")
        columns[f"{name}_control"] = Column(unit, "What isotropic Gaussian vectors would give.")
        columns[f"{name}_control_sd"] = Column(
            unit, "Standard deviation of that over draws; empty where it is not drawn."
        )
    for name, base in (
        ("self_similarity", "The mean cosine of all pairs."),
        ("max_explained_variance", "The average over as many random tokens."),
    ):
        columns[f"{name}_control"] = Column("", base)
    return columns


SPECTRUM_COLUMNS = {
    "layer": _FACTS["layer"],
    "site": _FACTS["site"],
    "rank": Column(help="Place of the eigenvalue, largest first."),
    "share": Column(help="Share of the total variance."),
    "share_control": Column(help="The same for isotropic Gaussian vectors."),
}

ROGUE_COLUMNS = {
    "layer": _FACTS["layer"],
    "site": _FACTS["site"],
    "rank": Column(help="Place of the dimension, largest contribution first."),
    "dimension": Column(help="Index of the dimension."),
    "contribution": Column(help="What it adds to the mean cosine."),
    "share": Column(help="Its share of the mean cosine; empty where that is near zero."),
}

REMOVAL_COLUMNS = {
    "layer": _FACTS["layer"],
    "site": _FACTS["site"],
    "removed": Column("dimensions", "How many of the largest contributors were removed."),
    "mean_cosine": Column(help="Mean cosine of sampled pairs without them."),
    "r_squared": Column(help="Squared correlation with the full cosines."),
    "n_pairs": Column("pairs", "Sampled pairs."),
}

WORD_COLUMNS = {
    "layer": _FACTS["layer"],
    "site": _FACTS["site"],
    "word": Column(help="Vocabulary entry."),
    "token_id": Column(help="Its id."),
    "n": Column("contexts", "Contexts in the sample."),
    "self_similarity": Column(help="Mean cosine between its contexts."),
    "self_similarity_adjusted": Column(help="The same less the mean cosine of all pairs."),
    "max_explained_variance": Column(help="λ₁/Σλ of its contexts."),
    "max_explained_variance_control": Column(help="The same for as many random tokens."),
}
