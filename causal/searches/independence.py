"""The tests that constraint-based searches ask, as causal-learn calls them.

Imported only where causal-learn runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from causallearn.utils.cit import CIT, CIT_Base, register_ci_test
from jaxtyping import Bool, Float

from causal.searches.linear_tests import (
    Block,
    blocks_independent,
    domain_changes,
    independent_within,
    one_hot,
)

NAME = "workbench"
Pairs = frozenset[tuple[int, int]]
Asked = Callable[[int, int, Sequence[int]], float]


class Asking(CIT_Base):  # type: ignore[misc]
    """One test of causal-learn, or a linear one, with what is known beforehand.

    A required pair is never independent. A banned pair is asked at once without conditions,
    and given anything is independent, so that no collider is read off a ban.
    """

    def __init__(self, data: Float[np.ndarray, "n n_var"], **kwargs: Any) -> None:
        """Choose the test named `ask`."""
        super().__init__(np.nan_to_num(data))
        self.ask: Asked = kwargs["ask"]
        self.required: Pairs = kwargs["required"]
        self.banned: Pairs = kwargs["banned"]
        self.check_cache_method_consistent(NAME, "")

    def __call__(self, x: Any, y: Any, given: Any = None) -> float:
        """Return the p-value of x and y being independent given the others."""
        (first,), (second,), rest, key = self.get_formatted_XYZ_and_cachekey(x, y, given)
        if key not in self.pvalue_cache:
            self.pvalue_cache[key] = self._p(first, second, rest)
        p: float = self.pvalue_cache[key]
        return p

    def _p(self, x: int, y: int, given: list[int]) -> float:
        pair = (min(x, y), max(x, y))
        if pair in self.required:
            return 0.0
        if pair in self.banned and given:
            return 1.0
        return self.ask(x, y, given)


register_ci_test(NAME, Asking)


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearTest:
    """A linear test in which categories are unordered and the domain is one of them."""

    data: Float[np.ndarray, "n n_var"]
    category: Bool[np.ndarray, " n_var"]
    domain: int | None = None
    blocks: dict[int, Block] = field(default_factory=dict)

    def __call__(self, x: int, y: int, given: Sequence[int]) -> float:
        """Return the p-value."""
        rest = [j for j in given if j != self.domain]
        design = np.hstack([np.zeros((len(self.data), 0)), *(self._block(j) for j in rest)])
        if self.domain is None or self.domain not in (x, y, *given):
            return blocks_independent(self._block(x), self._block(y), design)
        codes = self.data[:, self.domain].astype(np.int64)
        if self.domain in given:
            return independent_within(self._block(x), self._block(y), design, codes)
        other = y if x == self.domain else x
        if self.category[other]:
            return blocks_independent(self._block(x), self._block(y), design)
        return domain_changes(self.data[:, other], design, codes)

    def _block(self, j: int) -> Block:
        if j not in self.blocks:
            column = self.data[:, j]
            is_category = bool(self.category[j]) or j == self.domain
            self.blocks[j] = one_hot(column.astype(np.int64)) if is_category else column[:, None]
        return self.blocks[j]


def kernel_test(data: Float[np.ndarray, "n n_var"], domain: int | None) -> Asked:
    """Return the kernel test; domains are equally far from each other."""
    if domain is None:
        plain = CIT(data, "kci")
        return lambda x, y, given: float(plain(x, y, given))
    codes = data[:, domain]
    hot = (codes[:, None] == np.unique(codes)[None]).astype(np.float64)
    columns = {j: [j] for j in range(data.shape[1])}
    columns[domain] = list(range(data.shape[1], data.shape[1] + hot.shape[1]))
    wide = CIT(np.column_stack([data, hot]), "kci")
    return lambda x, y, given: float(
        wide(columns[x], columns[y], [c for j in given for c in columns[j]])
    )


def named_test(
    name: str,
    data: Float[np.ndarray, "n n_var"],
    category: Bool[np.ndarray, " n_var"],
    domain: int | None,
) -> Asked:
    """Return the test of that name over the columns of a matrix."""
    if name == "kci":
        return kernel_test(data, domain)
    if name == "mixed" or (name == "fisherz" and domain is not None):
        known = category if name == "mixed" else np.zeros_like(category)
        return LinearTest(data=data, category=known, domain=domain)
    plain = CIT(data, name)
    return lambda x, y, given: float(plain(x, y, given))
