"""A resample draws every domain's rows from that domain, as many as it has."""

import numpy as np

from causal.searches.stability import _stratified


def test_every_domain_keeps_its_size_and_its_rows():
    domain = np.array([0] * 30 + [2] * 5 + [1] * 12 + [2] * 3)
    generator = np.random.default_rng(0)
    seen: set[int] = set()
    for _ in range(60):
        index = _stratified(domain, generator)
        assert np.bincount(domain[index]).tolist() == [30, 12, 8]
        assert len(set(index.tolist())) < len(domain), "drawn with replacement"
        seen |= set(index.tolist())
    assert seen == set(range(50))
