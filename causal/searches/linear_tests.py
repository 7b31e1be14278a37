"""Linear tests of conditional independence among numbers and unordered categories.

No test looks at how a category is numbered or called, only at which rows share one.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

Block = Float[np.ndarray, "n _"]
Codes = Int[np.ndarray, " n"]


def one_hot(codes: Codes) -> Block:
    """Return one column of zeros and ones per category but the last."""
    values = np.unique(codes)
    found: Block = (codes[:, None] == values[None, :-1]).astype(np.float64)
    return found


def blocks_independent(x: Block, y: Block, given: Block) -> float:
    """Return the p-value of Wilks' test that two blocks are uncorrelated given a third.

    −(n − 1 − s − (p + q + 1)/2) ln Λ is near chi-squared with p q degrees of freedom.

    Source: Bartlett 1938; Rao 1973, section 8b.
    """
    left, right = _residuals(x, given), _residuals(y, given)
    p, q = left.shape[1], right.shape[1]
    free = len(x) - 1 - given.shape[1] - (p + q + 1) / 2
    if not p or not q or free <= 0:
        return 1.0
    shared = np.clip(np.linalg.svd(left.T @ right, compute_uv=False), 0.0, 1 - 1e-15)
    return float(stats.chi2.sf(-free * np.log1p(-(shared**2)).sum(), p * q))


def _residuals(block: Block, given: Block) -> Block:
    """Return an orthonormal basis of what is left of a block, without what is explained."""
    design, _ = np.linalg.qr(np.column_stack([np.ones(len(block)), given]))
    rest = block - design @ (design.T @ block)
    left, sizes, _ = np.linalg.svd(rest, full_matrices=False)
    return left[:, sizes > 1e-9 * max(1.0, float(np.linalg.norm(block)))]


def domain_changes(y: Float[np.ndarray, " n"], given: Block, domain: Codes) -> float:
    """Return the p-value that y given the block is the same in every domain.

    Intercepts and slopes are compared by Chow's F test and spreads of the residuals by the
    Brown–Forsythe test, which does not need normal noise; the smaller p-value is doubled.

    Source: Chow 1960; Brown & Forsythe 1974.
    """
    design = np.column_stack([np.ones(len(y)), given])
    residuals, rank = _fitted(design, y)
    groups = [domain == code for code in np.unique(domain)]
    fits = [_fitted(design[rows], y[rows]) for rows in groups]
    own = sum(float(rest @ rest) for rest, _ in fits)
    ranks = sum(width for _, width in fits)
    extra, free = ranks - rank, len(y) - ranks
    if extra <= 0 or free <= 0:
        return 1.0
    gain = max(float(residuals @ residuals) - own, 0.0)
    changed = stats.f.sf((gain / extra) / max(own / free, 1e-300), extra, free)
    parts = [residuals[rows] for rows in groups if rows.sum() > 1]
    spread = stats.levene(*parts, center="median").pvalue if len(parts) > 1 else 1.0
    return float(min(1.0, 2 * np.nanmin([changed, spread, 1.0])))


def _fitted(design: Block, y: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " n"], int]:
    weights, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    return y - design @ weights, int(rank)


def independent_within(x: Block, y: Block, given: Block, domain: Codes) -> float:
    """Return the p-value that two blocks are uncorrelated given a third in every domain.

    Each domain has its own weights; −2 log likelihood ratios are added over domains.
    """
    total, degrees = 0.0, 0
    for code in np.unique(domain):
        rows = domain == code
        left, right = _residuals(x[rows], given[rows]), _residuals(y[rows], given[rows])
        p, q = left.shape[1], right.shape[1]
        free = rows.sum() - 1 - given.shape[1] - (p + q + 1) / 2
        if not p or not q or free <= 0:
            continue
        shared = np.clip(np.linalg.svd(left.T @ right, compute_uv=False), 0.0, 1 - 1e-15)
        total += float(-free * np.log1p(-(shared**2)).sum())
        degrees += p * q
    return float(stats.chi2.sf(total, degrees)) if degrees else 1.0
